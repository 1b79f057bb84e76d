// The dashboard in a real browser against a real control plane: who comes in, what is seen and by whom, and how it behaves.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { connectAgent, enrol } from "../../packages/core/src/testing/core-under-test.ts";
import { expectAccessible, expectNoJump } from "./chromium.ts";
import { connection, enter, linkFor } from "./people.ts";
import { siteMissing, tooWide, useSite } from "./site.ts";

const hostile = `<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=1</script>"'\u202e{{7*7}}`;

describe.skipIf(siteMissing !== undefined)(`the dashboard${siteMissing ? ` (skipped: ${siteMissing})` : ""}`, () => {
  const site = useSite();
  const { open } = site;

  it("makes the first admin by the link of the first start, with a password that is good enough, and keeps no code in the address", async () => {
    const code = readFileSync(join(site.core.dir, "first-admin.link"), "utf8").trim();
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
    expect(page.url()).toBe(`${site.core.url}/`);
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
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
    const guide = page.getByRole("region", { name: "First steps" });
    await guide.getByText("aether token create --role agent", { exact: true }).waitFor();
    const agent = await connectAgent(site.core, await enrol(site.core, "first"));
    await guide.getByText("first joined").waitFor();
    agent.say({ case: "heartbeat", value: { agentTime: timestampNow(), usage: { cpuFraction: 0.5, memoryAvailableBytes: 1n << 30n } } });
    await guide.getByText("first reports").waitFor();
    await site.core.call("POST", "/api/v2/workloads", { spec: { name: "web", argv: ["/bin/sleep", "1"] }, nodeId: "first" });
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
    const agent = await connectAgent(site.core, await enrol(site.core, "evil"), undefined, [], undefined, facts);
    const made = await site.core.call("POST", "/api/v2/workloads", {
      spec: { name: "hostile", argv: ["/bin/echo", hostile], env: { X: hostile }, labels: { app: "db" } },
      nodeId: "evil",
    });
    expect(made.status, JSON.stringify(made.body)).toBe(200);
    await site.core.call("POST", "/api/v2/nodes/evil:cordon", { reason: hostile });
    const policy = await site.core.call("PUT", "/api/v2/policies/words", { description: hostile, settings: { priority: 7 } });
    expect(policy.status, JSON.stringify(policy.body)).toBe(200);
    const runbook = await site.core.call("PUT", "/api/v2/runbooks/words", {
      description: hostile,
      parameters: [{ name: "text", type: "text", description: hostile, defaultValue: hostile }],
      steps: [{ name: "tell", act: "notify", inputs: { message: "$text" } }],
    });
    expect(runbook.status, JSON.stringify(runbook.body)).toBe(200);
    const { run } = (await site.core.call("POST", "/api/v2/runbooks/words:run", {})).body;
    const { entries } = (await site.core.call("GET", "/api/v2/audit")).body as { entries: { sequence: string; action: string }[] };
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
    await site.core.call("POST", `/api/v2/oracles/client:report`, report);
    const { page, complaints } = await open();
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
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
    await enter(viewer.page, await linkFor(site.core.call, "vic", "ROLE_VIEWER"));
    await enter(operator.page, await linkFor(site.core.call, "otto", "ROLE_OPERATOR"));
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
    await enrol(site.core, "keyed");
    const { page } = await open();
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
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
    // A dialog gives the focus back to where it came from.
    const search = page.getByRole("button", { name: "Search or do…" });
    for (const from of [search, page.getByRole("button", { name: "Declare dead" })]) {
      await from.focus();
      await page.keyboard.press("Enter");
      await page.getByRole("dialog").waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
      expect(await from.evaluate((element) => (element as unknown as { matches(css: string): boolean }).matches(":focus"))).toBe(true);
    }
  });

  it("takes a person's word that a node is dead after saying what becomes of what it carried", async () => {
    const { page, complaints } = await open();
    await enter(page, await linkFor(site.core.call, "otto", "ROLE_OPERATOR"));
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

  it("asks for nothing while nothing happens: the stream says when something did", async () => {
    const { page } = await open();
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
    await page.goto("/");
    await connection(page).getByText("live").first().waitFor();
    await page.waitForTimeout(1_500);
    const asked: string[] = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await page.waitForTimeout(4_000);
    expect(asked).toEqual([]);
    await site.core.call("POST", "/api/v2/nodes/evil:uncordon", {});
    await expect.poll(() => asked.some((path) => path.endsWith("/ListNodes"))).toBe(true);
  }, 30_000);

  it("says quietly that the control plane is away, and goes on where it was", async () => {
    const { page } = await open();
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
    await page.goto("/events");
    await connection(page).getByText("live").first().waitFor();
    const away = connection(page).getByText("reconnecting").first().waitFor();
    await site.core.restart();
    await away;
    // The same session: it is in the database, not in the process.
    await page.getByText("the control plane listens").nth(1).waitFor();
    await connection(page).getByText("live").first().waitFor();
    expect(await page.getByRole("heading", { level: 1, name: "Events" }).count()).toBe(1);
  }, 60_000);

  it("is accessible, in both themes and on a telephone, without scrolling sideways", async () => {
    const { page } = await open({ theme: "dark" });
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
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
    await enter(page, await linkFor(site.core.call, "ada", "ROLE_ADMIN"));
    await page.waitForTimeout(500);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    expect(total).toBeGreaterThan(50_000);
    expect(total).toBeLessThan(175_000);
  });
});
