// What people write on the dashboard: each thing is said before it is set, and of two who write at once neither loses anything.
import { describe, expect, it } from "vitest";
import { connectAgent, enrol } from "../../packages/core/src/testing/core-under-test.ts";
import { expectAccessible } from "./chromium.ts";
import { enter, linkFor } from "./people.ts";
import { siteMissing, tooWide, useSite } from "./site.ts";

describe.skipIf(siteMissing !== undefined)(`what is written on the dashboard${siteMissing ? ` (skipped: ${siteMissing})` : ""}`, () => {
  const site = useSite();
  const { open } = site;

  it("puts a drill on a schedule, keeps less of something after saying what that removes, and looks into a bundle before it is sent", async () => {
    const { page, complaints } = await open();
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
    await page.goto("/drills?tab=schedules");
    await page.getByRole("textbox", { name: "Name" }).fill("weekly");
    await page.getByRole("button", { name: "Put it on the schedule" }).click();
    await page
      .getByRole("row", { name: /^weekly .* 0 3 \* \* mon/ })
      .getByRole("button", { name: "Pause" })
      .click();
    await page
      .getByRole("row", { name: /^weekly/ })
      .getByText("paused")
      .waitFor();
    await expectAccessible(page);

    await page.goto("/settings?tab=retention");
    const row = page.getByRole("row", { name: /14 days/ });
    await row.getByRole("button", { name: "Change" }).click();
    await page.getByRole("spinbutton").fill("7");
    await page.getByText(/does not come back/).waitFor();
    await page.getByRole("button", { name: "Keep less" }).click();
    await page.getByRole("row", { name: /7 days.*ada/ }).waitFor();

    await page.goto("/settings?tab=diagnostics");
    await page.getByText(/^Never in it: /).waitFor();
    await page.getByRole("button", { name: "Build it" }).click();
    const inside = page.getByRole("region", { name: /^Inside: \d+ files/ });
    await inside
      .getByRole("button", { name: /manifest/ })
      .first()
      .click();
    expect(await inside.locator("pre").textContent()).toContain("{");
    await expectAccessible(page);
    await page.setViewportSize({ width: 375, height: 800 });
    for (const tab of ["diagnostics", "retention", "config"]) {
      await page.goto(`/settings?tab=${tab}`);
      await page.getByRole("table").waitFor();
      expect(await page.evaluate(tooWide), tab).toBe("");
    }
    expect(complaints).toEqual([]);
  }, 60_000);

  it("lets none of two admins write over the other: an account that was changed meanwhile is shown first", async () => {
    const { page, complaints } = await open();
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
    await linkFor(site.core.call, "vic", "ROLE_VIEWER");
    await page.goto("/settings?tab=accounts");
    const role = page.getByRole("combobox", { name: "Role of vic" });
    await role.waitFor();
    await site.core.call("PATCH", "/api/v2/accounts/vic", { role: "ROLE_OPERATOR" });
    await role.selectOption("admin");
    const dialog = page.getByRole("dialog", { name: "vic was changed meanwhile" });
    await dialog.getByText("vic is operator now. Nothing of yours is set.").waitFor();
    expect((await site.core.call("GET", "/api/v2/accounts/vic")).body.account).toMatchObject({ role: "ROLE_OPERATOR" });
    await expectAccessible(page);
    await dialog.getByRole("button", { name: "Make it admin" }).click();
    await dialog.waitFor({ state: "detached" });
    await expect.poll(async () => (await site.core.call("GET", "/api/v2/accounts/vic")).body.account).toMatchObject({ role: "ROLE_ADMIN" });
    await role.locator("option:checked", { hasText: "admin" }).waitFor({ state: "attached" });
    await role.selectOption("viewer");
    await expect
      .poll(async () => (await site.core.call("GET", "/api/v2/accounts/vic")).body.account)
      .toMatchObject({ role: "ROLE_VIEWER" });
    expect(complaints).toEqual([]);
  }, 30_000);

  it("sets a policy after saying what it changes for whom, and says at a workload where each setting comes from", async () => {
    const { page, complaints } = await open();
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
    const agent = await connectAgent(site.core, await enrol(site.core, "n1"));
    const spec = { name: "cache", argv: ["/bin/sleep", "1"], labels: { app: "db" } };
    expect((await site.core.call("POST", "/api/v2/workloads", { spec, nodeId: "n1" })).status).toBe(200);
    await page.keyboard.press("g");
    await page.keyboard.press("p");
    await page.getByRole("button", { name: "New policy" }).click();
    const dialog = page.getByRole("dialog", { name: "New policy" });
    await dialog.getByLabel("Name").fill("databases");
    await dialog.getByLabel("Workloads with these labels").fill("app");
    await dialog.getByText("labels are written key=value").waitFor();
    await dialog.getByLabel("Workloads with these labels").fill("app=db");
    await dialog.getByLabel("Longest freeze, ms").fill("250");
    await dialog.getByLabel("A snapshot every, seconds").fill("5");
    await dialog.getByRole("button", { name: "See what would change" }).click();
    await dialog.getByRole("alert").getByText("10 s to 7 days").waitFor();
    await dialog.getByLabel("A snapshot every, seconds").fill("");
    await dialog.getByLabel("Windows, UTC").fill("sat,sun 22:00-04:00");
    await expectAccessible(page);
    await dialog.getByRole("button", { name: "See what would change" }).click();
    await dialog
      .getByRole("region", { name: "What would change" })
      .getByText(/^cache longest freeze: .* → 250 ms$/)
      .waitFor();
    await expectAccessible(page);
    await page.setViewportSize({ width: 375, height: 800 });
    expect(await page.evaluate(tooWide)).toBe("");
    await dialog.getByRole("button", { name: "Set it" }).click();
    const panel = page.getByRole("region", { name: "databases" });
    for (const text of ["app=db", "freeze at most 250 ms", "moves sat, sun 22:00 to 04:00 UTC", "cache", /by .*ada/])
      await panel.getByText(text).waitFor();
    expect(await page.evaluate(tooWide)).toBe("");
    await panel.getByRole("link", { name: "databases" }).click();
    await page.getByText("version 1 in force").waitFor();
    expect(await page.evaluate(tooWide)).toBe("");
    await page.setViewportSize({ width: 1280, height: 900 });

    // Somebody else is faster: nothing is written over, and what both have changed is brought together.
    await page.getByRole("button", { name: "Change" }).click();
    const change = page.getByRole("dialog");
    await change.getByLabel("Priority").fill("8");
    const { body } = await site.core.call("GET", "/api/v2/policies/databases");
    await site.core.call("PUT", "/api/v2/policies/databases", { ...(body.policy as object), rank: 5 });
    await change.getByRole("button", { name: "See what would change" }).click();
    await change
      .getByRole("region", { name: "What would change" })
      .getByText(/priority/)
      .waitFor();
    await change.getByRole("button", { name: "Set it" }).click();
    await page
      .getByRole("dialog", { name: "databases was changed meanwhile" })
      .getByRole("row", { name: /^rank 5 0$/ })
      .waitFor();
    await expectAccessible(page);
    await page.getByRole("button", { name: "Put mine onto theirs" }).click();
    await change.getByRole("button", { name: "See what would change" }).click();
    await change.getByRole("button", { name: "Set it" }).click();
    await page.getByText("version 3 in force").waitFor();
    expect((await site.core.call("GET", "/api/v2/policies/databases")).body.policy).toMatchObject({
      version: 3,
      rank: 5,
      settings: { priority: 8, maxFreezeMs: 250 },
    });
    await page.goto("/policies/databases?version=1");
    await page.getByText("This is version 1, which is not in force").waitFor();
    await expectAccessible(page);

    await page.goto("/workloads/cache");
    const inForce = page.getByRole("region", { name: "Settings in force" }).first();
    await inForce.getByRole("row", { name: /^longest freeze .*250 ms policy\/databases@3$/ }).waitFor();
    // Nobody reloads: what is deleted meanwhile is told.
    await site.core.call("DELETE", "/api/v2/policies/databases");
    await inForce.getByRole("row", { name: /^longest freeze .* default$/ }).waitFor();
    await page.goto("/policies/databases");
    await page.getByText("the policy was deleted").waitFor();
    await agent.disconnect();
    expect(complaints.filter((text) => !/40[04]/.test(text))).toEqual([]);
  }, 60_000);

  it("runs a runbook after saying what it would do, waits for a person's word, and shows each step as it comes to be", async () => {
    await site.core.call("PUT", "/api/v2/runbooks/gate", {
      description: "with a gate",
      parameters: [
        { name: "node", type: "node", description: "which one" },
        { name: "why", type: "text", defaultValue: "a reason" },
      ],
      steps: [
        { name: "cordon", act: "cordon", inputs: { node: "$node", reason: "$why" } },
        { name: "sure", act: "confirm", inputs: { message: "Is $node the right one?" } },
        { name: "never", act: "check", inputs: { condition: "node-silent", node: "$node" }, onFailure: "STEP_FAILURE_UNDO" },
        { name: "later", act: "notify", inputs: { message: "never said" } },
      ],
    });
    const agent = await connectAgent(site.core, await enrol(site.core, "gated"));
    const { page, complaints } = await open();
    await enter(page, await linkFor(site.core.call, "otto", "ROLE_OPERATOR"));
    await page.goto("/nodes/gated");
    await page.getByRole("link", { name: "Retire…" }).click();
    await page.getByRole("dialog", { name: "Run retire-node" }).waitFor();
    expect(await page.getByRole("dialog").getByLabel("node").inputValue()).toBe("gated");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("g");
    await page.keyboard.press("b");
    await page.getByRole("link", { name: "Run gate" }).click();
    expect(page.url()).toBe(`${site.core.url}/runbooks?start=gate`);
    const dialog = page.getByRole("dialog", { name: "Run gate" });
    await dialog.getByLabel("node").selectOption("gated");
    await dialog.getByRole("button", { name: "What it would do" }).click();
    const foreseen = dialog.getByRole("region", { name: "What it would do" });
    for (const text of ["cordons gated", "waits until an operator confirms: Is gated the right one?", "in the way now: gated is heard"])
      await foreseen.getByText(text).waitFor();
    await expectAccessible(page);
    await page.setViewportSize({ width: 375, height: 800 });
    expect(await page.evaluate(tooWide)).toBe("");
    await dialog.getByRole("button", { name: "Run it" }).click();
    await page.getByText("waits for a person").first().waitFor();
    expect(page.url()).toMatch(/\/runbooks\/runs\/run-[a-z0-9]+$/);
    expect(await page.evaluate(tooWide)).toBe("");
    await expectAccessible(page);
    await page.getByLabel("Note").fill("looked twice");
    await page.getByRole("button", { name: "Confirm" }).click();
    // Nobody reloads: what happens is told.
    const steps = page.getByRole("region", { name: "Steps" });
    await steps.getByText("confirmed by account/otto: looked twice").waitFor();
    await steps.getByRole("listitem").filter({ hasText: "cordon" }).getByText("taken back").waitFor();
    await steps.getByRole("listitem").filter({ hasText: "never" }).getByText("failed").waitFor();
    await steps.getByRole("listitem").filter({ hasText: "later" }).getByText("not begun").waitFor();
    await expectAccessible(page);
    expect((await site.core.call("GET", "/api/v2/nodes/gated")).body.node).toMatchObject({ isCordoned: false });
    await page.goto("/runbooks?tab=runs");
    await page.getByRole("row", { name: /gate node=gated why=a reason failed/ }).waitFor();
    expect(complaints.filter((text) => !/40[04]/.test(text))).toEqual([]);
    await agent.disconnect();
  }, 60_000);

  it("lets an admin write a runbook: what is wrong has its line, what differs is seen before, and two who write at once lose nothing", async () => {
    const { page, complaints } = await open();
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").fill("new runb");
    await page.getByRole("option", { name: "New runbook…" }).waitFor();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "New runbook" });
    const text = dialog.getByRole("textbox", { name: "The runbook, as YAML" });
    const said = (seconds: string, message = "hello") =>
      `name: mine\ndescription: what it is for\nsteps:\n  - name: rest\n    act: wait\n    inputs:\n      seconds: ${seconds}\n  - name: tell\n    act: notify\n    inputs:\n      message: ${message}\n`;
    await text.fill("name: [");
    await dialog.getByRole("button", { name: "Check it" }).click();
    await dialog.getByRole("alert").getByText("neither YAML nor JSON").waitFor();
    await text.fill(said("soon"));
    await dialog.getByRole("button", { name: "Check it" }).click();
    await dialog.getByRole("alert").getByText("Line 7: ").waitFor();
    // What is wrong is selected, to be written over.
    await page.keyboard.type("1");
    expect(await text.inputValue()).toBe(said("1"));
    await dialog.locator("summary", { hasText: "notify" }).click();
    await dialog.getByText("message").first().waitFor();
    await expectAccessible(page);
    // Neither Escape nor a click beside it throws away what one has written.
    for (let presses = 0; presses < 2; presses++) await page.keyboard.press("Escape");
    await dialog.getByText("What you wrote is not set.").waitFor();
    await dialog.getByRole("button", { name: "Go on writing" }).click();
    await page.setViewportSize({ width: 375, height: 800 });
    await expectAccessible(page, ["target-size"]);
    expect(await page.evaluate(tooWide)).toBe("");
    await dialog.getByRole("button", { name: "Check it" }).click();
    await dialog.getByText("Whoever runs it needs the role operator.").waitFor();
    await dialog.getByRole("button", { name: "Set it" }).click();
    await page.getByText("version 1 in force").waitFor();
    expect(page.url()).toBe(`${site.core.url}/runbooks/mine`);
    expect(await page.evaluate(tooWide)).toBe("");
    await page.setViewportSize({ width: 1280, height: 900 });
    await expectAccessible(page);

    await page.getByRole("button", { name: "Change" }).click();
    const change = page.getByRole("dialog");
    await change.getByRole("textbox").fill(said("1", "good morning"));
    await change.getByRole("button", { name: "Check it" }).click();
    const lines = change.getByRole("region", { name: "Changed lines" });
    for (const line of ["removed: message: hello", "added: message: good morning"]) await lines.getByText(line).waitFor();
    await expectAccessible(page);
    // Somebody else is faster.
    const { body } = await site.core.call("GET", "/api/v2/runbooks/mine");
    await site.core.call("PUT", "/api/v2/runbooks/mine", { ...(body.runbook as object), description: "said meanwhile" });
    await change.getByRole("button", { name: "Set it" }).click();
    const both = page.getByRole("dialog", { name: "mine was changed meanwhile" });
    await both.getByRole("region", { name: "theirs, in force" }).getByText("said meanwhile").waitFor();
    await both.getByRole("region", { name: "yours" }).getByText("good morning").waitFor();
    await expectAccessible(page);
    await both.getByRole("button", { name: "Put mine onto theirs" }).click();
    await change.getByRole("button", { name: "Check it" }).click();
    await change.getByRole("button", { name: "Set it" }).click();
    await page.getByText("version 3 in force").waitFor();
    expect((await site.core.call("GET", "/api/v2/runbooks/mine")).body.runbook).toMatchObject({
      version: 3,
      description: "said meanwhile",
      steps: [{ inputs: { seconds: "1" } }, { inputs: { message: "good morning" } }],
    });
    await page.getByRole("link", { name: "1", exact: true }).click();
    await page.getByText("This is version 1, which is not in force").waitFor();

    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("button", { name: "Delete it" }).click();
    await page.getByText("The runbook mine is gone").waitFor();
    await page.goto("/runbooks/mine");
    await page.getByText("the runbook was deleted").waitFor();
    // What the control plane brings along is copied, not changed.
    await page.goto("/runbooks/retire-node");
    await page.getByRole("button", { name: "Copy", exact: true }).click();
    expect(await page.getByRole("dialog").getByRole("textbox").inputValue()).toMatch(/^name: my-retire-node\n/);
    expect(await page.getByRole("button", { name: "Change" }).count()).toBe(0);
    expect(complaints.filter((each) => !/40[04]/.test(each))).toEqual([]);
  }, 60_000);

  it("shows what an act has changed, by keyboard too, at an address of its own", async () => {
    const { page, complaints } = await open();
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
    await page.goto("/audit");
    await page.getByRole("combobox", { name: "Did" }).fill("runbook.set");
    await page.keyboard.press("Enter");
    await page
      .getByRole("row", { name: /policy\.set/ })
      .first()
      .waitFor({ state: "detached" });
    expect(page.url()).toBe(`${site.core.url}/audit?action=runbook.set`);
    const row = page.getByRole("row", { name: /runbook\.set/ }).first();
    await row.getByRole("button").focus();
    await page.keyboard.press("Enter");
    const changed = page.getByRole("region", { name: "What it has changed" });
    await changed.getByRole("row", { name: /description what it is for said meanwhile|steps .*good morning/ }).waitFor();
    expect(page.url()).toMatch(/\/audit\?action=runbook.set&open=\d+$/);
    await expectAccessible(page);
    await page.setViewportSize({ width: 375, height: 800 });
    expect(await page.evaluate(tooWide)).toBe("");
    await page.reload();
    await changed.waitFor();
    await page.getByRole("button", { name: /^More of entry/, expanded: true }).focus();
    await page.keyboard.press("Space");
    await changed.waitFor({ state: "detached" });
    expect(page.url()).toBe(`${site.core.url}/audit?action=runbook.set`);
    expect(complaints).toEqual([]);
  }, 30_000);
});
