// The dashboard in a real browser against a real control plane, without nodes of its own: what needs no root. Agents here speak the real
// protocol over mutual TLS and say what the test wants; the moves of real workloads are in cloud.test.ts.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CoreUnderTest, connectAgent, enrol, startCore } from "../../packages/core/src/testing/core-under-test.ts";
import { chromiumMissing, expectAccessible, expectNoJump, launch, openTab, type Tab } from "./chromium.ts";
import { connection, enter, linkFor } from "./people.ts";

const dist = fileURLToPath(new URL("../../packages/web/dist/", import.meta.url));
const missing = chromiumMissing ?? (existsSync(join(dist, "index.html")) ? undefined : "the dashboard is not built: npm run build:web");
if (missing !== undefined) console.log(`skipped: ${missing}`);

/** The beginning of an element that makes the page scroll sideways; empty when none does. */
const tooWide = `(() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return "";
  const scrolls = (element) => element !== null && (getComputedStyle(element).overflowX !== "visible" || scrolls(element.parentElement));
  const wide = [...document.body.querySelectorAll("*")].filter((each) => each.getBoundingClientRect().right > clientWidth + 1 && !scrolls(each.parentElement));
  return wide.at(-1)?.outerHTML.slice(0, 300) ?? "something";
})()`;

const hostile = `<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=1</script>"'\u202e{{7*7}}`;

describe.skipIf(missing !== undefined)("the dashboard", () => {
  let core: CoreUnderTest;
  let browser: Browser;
  const tabs: Tab[] = [];
  const open = async (options?: Parameters<typeof openTab>[2]) => {
    const tab = await openTab(browser, core.url, options);
    tabs.push(tab);
    return tab;
  };
  beforeAll(async () => {
    [core, browser] = await Promise.all([startCore({ heartbeat: { intervalMs: 500, lostAfterMs: 60_000 } }), launch()]);
  }, 90_000);
  afterAll(async () => {
    await browser?.close();
    await core?.stop();
  });

  it("makes the first admin by the link of the first start, with a password that is good enough, and keeps no code in the address", async () => {
    const code = readFileSync(join(core.dir, "first-admin.link"), "utf8").trim();
    const { page, complaints } = await open();
    await page.goto("/");
    await page.getByRole("heading", { name: "Nobody has an account yet" }).waitFor();
    await expectAccessible(page);
    await page.goto(`/first-admin#${code}`);
    await page.getByRole("textbox", { name: "Name" }).fill("ada");
    await page.getByLabel("Password").fill("adaadaadaada");
    await page.getByRole("button", { name: "Make the account" }).click();
    await page.getByText("repeats more than a few characters").waitFor();
    await expectAccessible(page);
    await page.getByLabel("Password").fill("correct horse battery");
    await page.getByRole("button", { name: "Make the account" }).click();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    expect(page.url()).toBe(`${core.url}/`);
    const cookies = await page.context().cookies();
    expect(cookies).toMatchObject([{ httpOnly: true, sameSite: "Strict" }]);
    expect(await page.evaluate("document.cookie")).toBe("");
    expect(complaints.filter((text) => !/40[01]/.test(text))).toEqual([]);
  });

  it("signs in by name and password at the address that was asked for, and out again", async () => {
    const { page } = await open();
    await page.goto("/audit");
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.getByRole("textbox", { name: "Name" }).fill("ada");
    await page.getByLabel("Password").fill("not the password at all");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("Name or password is wrong").waitFor();
    await page.getByLabel("Password").fill("correct horse battery");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Audit" }).waitFor();
    await page.getByText("session.sign-in").first().waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
  });

  it("guides a new installation by what really happened", async () => {
    const { page } = await open();
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
    const guide = page.getByRole("region", { name: "First steps" });
    await guide.getByText("aether token create --role agent", { exact: true }).waitFor();
    const agent = await connectAgent(core, await enrol(core, "first"));
    await guide.getByText("first joined").waitFor();
    agent.say({ case: "heartbeat", value: { agentTime: timestampNow(), usage: { cpuFraction: 0.5, memoryAvailableBytes: 1n << 30n } } });
    await guide.getByText("first reports").waitFor();
    await core.call("POST", "/api/v2/workloads", { spec: { name: "web", argv: ["/bin/sleep", "1"] }, nodeId: "first" });
    await guide.getByText("web runs on first").waitFor();
    await agent.disconnect();
  }, 60_000);

  it("shows hostile words as words, everywhere", async () => {
    const facts = {
      hostname: hostile,
      agentVersion: hostile,
      memoryBytes: 8n << 30n,
      cloud: { instanceType: hostile, zone: hostile, instanceId: hostile },
      capabilities: {
        runcVersion: "1",
        criu: { available: true, version: hostile },
        missing: [{ what: hostile, why: hostile, mend: hostile }],
      },
    };
    const agent = await connectAgent(core, await enrol(core, "evil"), undefined, [], undefined, facts);
    const made = await core.call("POST", "/api/v2/workloads", {
      spec: { name: "hostile", argv: ["/bin/echo", hostile], env: { X: hostile }, labels: { app: "db" } },
      nodeId: "evil",
    });
    expect(made.status, JSON.stringify(made.body)).toBe(200);
    await core.call("POST", "/api/v2/nodes/evil:cordon", { reason: hostile });
    const policy = await core.call("PUT", "/api/v2/policies/words", { description: hostile, settings: { priority: 7 } });
    expect(policy.status, JSON.stringify(policy.body)).toBe(200);
    const runbook = await core.call("PUT", "/api/v2/runbooks/words", {
      description: hostile,
      parameters: [{ name: "text", type: "text", description: hostile, defaultValue: hostile }],
      steps: [{ name: "tell", act: "notify", inputs: { message: "$text" } }],
    });
    expect(runbook.status, JSON.stringify(runbook.body)).toBe(200);
    const { run } = (await core.call("POST", "/api/v2/runbooks/words:run", {})).body;
    const { entries } = (await core.call("GET", "/api/v2/audit")).body as { entries: { sequence: string; action: string }[] };
    const now = Date.now();
    const report = {
      workload: "hostile",
      since: new Date(now - 10_000).toISOString(),
      until: new Date(now).toISOString(),
      requestCount: "10",
      errorCount: "1",
      lastError: hostile,
      sliceMs: 1000,
      worstLatencyMs: [1, 2, 3],
    };
    await core.call("POST", `/api/v2/oracles/client:report`, report);
    const { page, complaints } = await open();
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
    for (const path of [
      "/",
      "/nodes",
      "/nodes/evil",
      "/nodes/evil?tab=events",
      "/workloads",
      "/workloads/hostile",
      "/events",
      "/audit",
      "/drills",
      "/policies",
      "/runbooks?start=words",
      "/runbooks?tab=runs",
      "/runbooks/words",
      `/runbooks/runs/${(run as { id: string }).id}`,
      `/audit?open=${String(entries.find(({ action }) => action === "node.cordon")?.sequence)}`,
      `/nodes/${encodeURIComponent(hostile)}`,
    ]) {
      await page.goto(path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.waitForTimeout(150);
      expect(await page.evaluate(() => (globalThis as { pwned?: number }).pwned), path).toBeUndefined();
    }
    await page.goto("/nodes/evil");
    await page.getByText("{{7*7}}").first().waitFor();
    expect(complaints.filter((text) => !/404/.test(text))).toEqual([]);
    await agent.disconnect();
  }, 60_000);

  it("gives a viewer nothing to press that the control plane would refuse, and the control plane refuses it", async () => {
    const [viewer, operator] = [await open(), await open()];
    await enter(viewer.page, await linkFor(core.call, "vic", "ROLE_VIEWER"));
    await enter(operator.page, await linkFor(core.call, "otto", "ROLE_OPERATOR"));
    for (const [path, button] of [
      ["/nodes/evil", "Uncordon"],
      ["/nodes/evil", "Interrupt this node"],
      ["/workloads/hostile", "Remove"],
    ] as const) {
      for (const { page } of [viewer, operator]) {
        await page.goto(path);
        await page.getByRole("navigation", { name: "Parts of this page" }).waitFor();
      }
      await operator.page.getByRole("button", { name: button }).first().waitFor();
      expect(await viewer.page.getByRole("button", { name: button }).count(), button).toBe(0);
    }
    // Whatever else there is to press only looks: nothing on any page but this.
    const pressed = new Set<string>();
    for (const path of [
      "/",
      "/nodes",
      "/nodes/evil",
      "/workloads",
      "/workloads/hostile",
      "/drills",
      "/drills?tab=schedules",
      "/risk",
      "/decisions",
      "/policies",
      "/runbooks?start=retire-node",
      "/runbooks?tab=runs",
      "/runbooks/words",
    ]) {
      await viewer.page.goto(path);
      await viewer.page.getByRole("heading", { level: 1 }).waitFor();
      await viewer.page.waitForTimeout(150);
      for (const name of await viewer.page.getByRole("main").getByRole("button").allTextContents())
        pressed.add(name.replace(/ ?[↑↓]$/, "").trim());
    }
    const looks = ["copy", "Hide", "Plan it", "Node", "State", "Pool", "Workloads", "CPU", "Free", "Risk, 1 h", "Price", "Saved", "Seen"];
    expect([...pressed].filter((name) => !looks.includes(name))).toEqual([]);
    expect([...pressed]).toContain("Plan it");
    for (const path of ["/settings?tab=retention", "/settings?tab=diagnostics", "/settings?tab=config"]) {
      await viewer.page.goto(path);
      await viewer.page.getByRole("navigation", { name: "Parts of this page" }).waitFor();
    }
    expect(await viewer.page.getByRole("button", { name: /Change|Build/ }).count()).toBe(0);
    await viewer.page.goto("/settings");
    await viewer.page.getByRole("heading", { name: "Who you are" }).waitFor();
    expect(await viewer.page.getByRole("link", { name: "Tokens" }).count()).toBe(0);
    const refused = await viewer.page.evaluate(async () => {
      const answer = await fetch("/api/v2/nodes/evil:uncordon", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: "{}",
      });
      return [answer.status, ((await answer.json()) as { error: { code: string } }).error.code];
    });
    expect(refused).toEqual([403, "PERMISSION_DENIED"]);
  }, 60_000);

  it("goes by keyboard: the palette, a place by two letters, and back to where the focus was", async () => {
    await enrol(core, "keyed");
    const { page } = await open();
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").fill("keye");
    await page.getByRole("option", { name: "keyed" }).first().waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: /^keyed/ }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("d");
    await page.getByRole("heading", { level: 1, name: "Drills" }).waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: /^keyed/ }).waitFor();
    // A verb takes what it is about; nothing is begun before its dialog has said what it does.
    await page.keyboard.press("/");
    await page.getByRole("combobox").fill("interr");
    await page.getByRole("option", { name: "Interrupt a node…" }).waitFor();
    await page.keyboard.press("Enter");
    await page.keyboard.type("ev"); // after "interrupt "
    await page.getByText("Nothing fits").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  });

  it("takes a person's word that a node is dead after saying what becomes of what it carried", async () => {
    const { page, complaints } = await open();
    await enter(page, await linkFor(core.call, "otto", "ROLE_OPERATOR"));
    await page.goto("/nodes/first");
    await page.getByRole("button", { name: "Declare dead" }).click();
    const dialog = page.getByRole("dialog", { name: "Declare first dead?" });
    await dialog.getByText(/what it held in memory is lost/).waitFor();
    const declare = dialog.getByRole("button", { name: "Declare it dead" });
    await dialog.getByLabel("How you know").fill("terminated in the console");
    expect(await declare.isDisabled()).toBe(true);
    await dialog.getByRole("checkbox").check();
    await expectAccessible(page);
    await declare.click();
    await page.getByRole("alert").getByText("Declared dead").waitFor();
    expect(await page.getByRole("button", { name: "Declare dead" }).count()).toBe(0);
    expect(complaints).toEqual([]);
  }, 30_000);

  it("puts a drill on a schedule, keeps less of something after saying what that removes, and looks into a bundle before it is sent", async () => {
    const { page, complaints } = await open();
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
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
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
    await page.goto("/settings?tab=accounts");
    const role = page.getByRole("combobox", { name: "Role of vic" });
    await role.waitFor();
    await core.call("PATCH", "/api/v2/accounts/vic", { role: "ROLE_OPERATOR" });
    await role.selectOption("admin");
    const dialog = page.getByRole("dialog", { name: "vic was changed meanwhile" });
    await dialog.getByText("vic is operator now. Nothing of yours is set.").waitFor();
    expect((await core.call("GET", "/api/v2/accounts/vic")).body.account).toMatchObject({ role: "ROLE_OPERATOR" });
    await expectAccessible(page);
    await dialog.getByRole("button", { name: "Make it admin" }).click();
    await dialog.waitFor({ state: "detached" });
    await expect.poll(async () => (await core.call("GET", "/api/v2/accounts/vic")).body.account).toMatchObject({ role: "ROLE_ADMIN" });
    await role.locator("option:checked", { hasText: "admin" }).waitFor({ state: "attached" });
    await role.selectOption("viewer");
    await expect.poll(async () => (await core.call("GET", "/api/v2/accounts/vic")).body.account).toMatchObject({ role: "ROLE_VIEWER" });
    expect(complaints).toEqual([]);
  }, 30_000);

  it("sets a policy after saying what it changes for whom, and says at a workload where each setting comes from", async () => {
    const { page, complaints } = await open();
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
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
      .getByText(/^hostile longest freeze: .* → 250 ms$/)
      .waitFor();
    await expectAccessible(page);
    await page.setViewportSize({ width: 375, height: 800 });
    expect(await page.evaluate(tooWide)).toBe("");
    await dialog.getByRole("button", { name: "Set it" }).click();
    const panel = page.getByRole("region", { name: "databases" });
    for (const text of ["app=db", "freeze at most 250 ms", "moves sat, sun 22:00 to 04:00 UTC", "hostile", /by .*ada/])
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
    const { body } = await core.call("GET", "/api/v2/policies/databases");
    await core.call("PUT", "/api/v2/policies/databases", { ...(body.policy as object), rank: 5 });
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
    expect((await core.call("GET", "/api/v2/policies/databases")).body.policy).toMatchObject({
      version: 3,
      rank: 5,
      settings: { priority: 8, maxFreezeMs: 250 },
    });
    await page.goto("/policies/databases?version=1");
    await page.getByText("This is version 1, which is not in force").waitFor();
    await expectAccessible(page);

    await page.goto("/workloads/hostile");
    const inForce = page.getByRole("region", { name: "Settings in force" }).first();
    await inForce.getByRole("row", { name: /^longest freeze .*250 ms policy\/databases@3$/ }).waitFor();
    // Nobody reloads: what is deleted meanwhile is told.
    await core.call("DELETE", "/api/v2/policies/databases");
    await inForce.getByRole("row", { name: /^longest freeze .* default$/ }).waitFor();
    await page.goto("/policies/databases");
    await page.getByText("the policy was deleted").waitFor();
    expect(complaints.filter((text) => !/40[04]/.test(text))).toEqual([]);
  }, 60_000);

  it("runs a runbook after saying what it would do, waits for a person's word, and shows each step as it comes to be", async () => {
    await core.call("PUT", "/api/v2/runbooks/gate", {
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
    const agent = await connectAgent(core, await enrol(core, "gated"));
    const { page, complaints } = await open();
    await enter(page, await linkFor(core.call, "otto", "ROLE_OPERATOR"));
    await page.goto("/nodes/gated");
    await page.getByRole("link", { name: "Retire…" }).click();
    await page.getByRole("dialog", { name: "Run retire-node" }).waitFor();
    expect(await page.getByRole("dialog").getByLabel("node").inputValue()).toBe("gated");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("g");
    await page.keyboard.press("b");
    await page.getByRole("link", { name: "Run gate" }).click();
    expect(page.url()).toBe(`${core.url}/runbooks?start=gate`);
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
    expect((await core.call("GET", "/api/v2/nodes/gated")).body.node).toMatchObject({ isCordoned: false });
    await page.goto("/runbooks?tab=runs");
    await page.getByRole("row", { name: /gate node=gated why=a reason failed/ }).waitFor();
    expect(complaints.filter((text) => !/40[04]/.test(text))).toEqual([]);
    await agent.disconnect();
  }, 60_000);

  it("lets an admin write a runbook: what is wrong has its line, what differs is seen before, and two who write at once lose nothing", async () => {
    const { page, complaints } = await open();
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
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
    expect(page.url()).toBe(`${core.url}/runbooks/mine`);
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
    const { body } = await core.call("GET", "/api/v2/runbooks/mine");
    await core.call("PUT", "/api/v2/runbooks/mine", { ...(body.runbook as object), description: "said meanwhile" });
    await change.getByRole("button", { name: "Set it" }).click();
    const both = page.getByRole("dialog", { name: "mine was changed meanwhile" });
    await both.getByRole("region", { name: "theirs, in force" }).getByText("said meanwhile").waitFor();
    await both.getByRole("region", { name: "yours" }).getByText("good morning").waitFor();
    await expectAccessible(page);
    await both.getByRole("button", { name: "Put mine onto theirs" }).click();
    await change.getByRole("button", { name: "Check it" }).click();
    await change.getByRole("button", { name: "Set it" }).click();
    await page.getByText("version 3 in force").waitFor();
    expect((await core.call("GET", "/api/v2/runbooks/mine")).body.runbook).toMatchObject({
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
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
    await page.goto("/audit");
    await page.getByRole("combobox", { name: "Did" }).fill("runbook.set");
    await page.keyboard.press("Enter");
    await page
      .getByRole("row", { name: /policy\.set/ })
      .first()
      .waitFor({ state: "detached" });
    expect(page.url()).toBe(`${core.url}/audit?action=runbook.set`);
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
    expect(page.url()).toBe(`${core.url}/audit?action=runbook.set`);
    expect(complaints).toEqual([]);
  }, 30_000);

  it("asks for nothing while nothing happens: the stream says when something did", async () => {
    const { page } = await open();
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
    await page.goto("/");
    await connection(page).getByText("live").first().waitFor();
    await page.waitForTimeout(1_500);
    const asked: string[] = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await page.waitForTimeout(4_000);
    expect(asked).toEqual([]);
    await core.call("POST", "/api/v2/nodes/evil:uncordon", {});
    await expect.poll(() => asked.some((path) => path.endsWith("/ListNodes"))).toBe(true);
  }, 30_000);

  it("says quietly that the control plane is away, and goes on where it was", async () => {
    const { page } = await open();
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
    await page.goto("/events");
    await connection(page).getByText("live").first().waitFor();
    const away = connection(page).getByText("reconnecting").first().waitFor();
    await core.restart();
    await away;
    // The same session: it is in the database, not in the process.
    await page.getByText("the control plane listens").nth(1).waitFor();
    await connection(page).getByText("live").first().waitFor();
    expect(await page.getByRole("heading", { level: 1, name: "Events" }).count()).toBe(1);
  }, 60_000);

  it("is accessible, in both themes and on a telephone, without scrolling sideways", async () => {
    const { page } = await open({ theme: "dark" });
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
    const paths = [
      "/",
      "/nodes",
      "/nodes/evil",
      "/workloads",
      "/workloads/hostile",
      "/drills",
      "/risk",
      "/decisions",
      "/snapshots",
      "/events",
      "/audit",
    ];
    for (const path of [
      ...paths,
      "/savings",
      "/settings",
      "/settings?tab=accounts",
      "/settings?tab=tokens",
      "/drills?tab=schedules",
      "/policies",
      "/runbooks",
      "/runbooks?tab=runs",
      "/runbooks/retire-node",
    ]) {
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.goto(path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.waitForTimeout(100);
      await expectAccessible(page);
      expect(await page.evaluate(tooWide), path).toBe("");
      await expectNoJump(page);
      // The markup stays the same: what can differ are colours, and then sizes.
      await page.evaluate('document.documentElement.dataset.theme = "light"');
      await expectAccessible(page, ["color-contrast"]);
      await page.setViewportSize({ width: 375, height: 800 });
      await expectAccessible(page, ["target-size"]);
      expect(await page.evaluate(tooWide), path).toBe("");
    }
  }, 240_000);

  it("needs at most 175 kB of script for the first view, compressed: the bar is 200", async () => {
    const { page } = await open();
    const sizes: number[] = [];
    page.on("response", (answer) => {
      if (/\.js$/.test(new URL(answer.url()).pathname))
        void answer
          .request()
          .sizes()
          .then(({ responseBodySize }) => sizes.push(responseBodySize));
    });
    await enter(page, await linkFor(core.call, "ada", "ROLE_ADMIN"));
    await page.waitForTimeout(500);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    expect(total).toBeGreaterThan(50_000);
    expect(total).toBeLessThan(175_000);
  });
});
