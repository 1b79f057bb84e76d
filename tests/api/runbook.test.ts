// A runbook on the real control plane as a process of its own, killed with -9 at named points of the run and started again each time, while
// the real command follows it: everything happens once.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";

const bin = fileURLToPath(new URL("../../packages/cli/bin/aether.mjs", import.meta.url));
const isBuilt = existsSync(fileURLToPath(new URL("../../packages/cli/dist/main.js", import.meta.url)));
const why = isBuilt ? "" : " (skipped: the command is not built: npm run build)";

const points = ["pause_moves.looked", "notify.looked", "pause_moves.taken_back", "before_end"].map((each) => `core.runbook.${each}`);

const book = `
name: steady
parameters:
  - {name: why, type: text, default: a reason}
steps:
  - {name: pause, act: pause-moves, inputs: {reason: $why}}
  - {name: tell, act: notify, inputs: {message: moves are halted}}
  - {name: never, act: check, inputs: {condition: moves-allowed}, on_failure: undo}
  - {name: later, act: notify, inputs: {message: never said}}
`;

describe.skipIf(!isBuilt)(`a control plane that is killed in the middle of a run${why}`, () => {
  let dir: string;
  let url: string;
  let token: string;
  let core: ChildProcess;
  let killedCount = 0;
  let isOver = false;

  const aether = (...args: string[]) =>
    new Promise<{ code: number; out: string; err: string }>((resolve) => {
      const env = { ...process.env, AETHER_URL: url, AETHER_TOKEN: token };
      execFile(process.execPath, [bin, ...args], { env, timeout: 150_000 }, (failure, out, err) =>
        resolve({ code: failure === null ? 0 : typeof failure.code === "number" ? failure.code : -1, out, err }),
      );
    });
  const get = async (path: string) =>
    (await fetch(url + path, { headers: { authorization: `Bearer ${token}` } })).json() as Promise<
      Record<string, Record<string, string>[]>
    >;

  /** As a supervisor does. */
  const start = () => {
    core = spawn(process.execPath, [bin, "core", "--config", join(dir, "core.yaml")], {
      stdio: "ignore",
      env: { ...process.env, AETHER_FAULTS: points.map((each) => `${each}=kill`).join(","), AETHER_FAULTS_DIR: join(dir, "faults") },
    });
    core.once("exit", (_, signal) => {
      if (isOver) return;
      if (signal === "SIGKILL") killedCount++;
      start();
    });
  };

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "aether-runbook-"));
    await mkdir(join(dir, "faults"));
    const [http, agents] = [await freePort(), await freePort()];
    url = `http://127.0.0.1:${http}`;
    const config = { dataDir: join(dir, "data"), http: { host: "127.0.0.1", port: http }, agents: { host: "127.0.0.1", port: agents } };
    await writeFile(join(dir, "core.yaml"), JSON.stringify(config));
    await writeFile(join(dir, "steady.yaml"), book);
    start();
    await until("it to be ready", 100, 60_000, async () => ((await fetch(`${url}/readyz`).catch(() => undefined))?.ok ? true : undefined));
    token = (await readFile(join(dir, "data", "admin.token"), "utf8")).trim();
  }, 90_000);
  afterAll(async () => {
    isOver = true;
    const ended = new Promise((resolve) => core?.once("exit", resolve));
    if (core?.kill("SIGKILL")) await ended;
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }, 30_000);

  it("does nothing twice, and the command follows to the end", async () => {
    expect(await aether("runbook", "add", join(dir, "steady.yaml"))).toMatchObject({ code: 0 });
    const dry = await aether("runbook", "run", "steady", "--dry-run");
    expect([dry.code, dry.out]).toEqual([0, expect.stringContaining("pause: halts all moves that nobody starts by hand")]);
    const { code, out, err } = await aether("runbook", "run", "steady", "why=kill -9", "--wait", "--json");
    const run = JSON.parse(out) as { id: string; state: string; parameters: object; steps: { name: string; state: string }[] };
    expect([code, run.state, run.parameters], err).toEqual([1, "RUN_STATE_FAILED", { why: "kill -9" }]);
    expect(run.steps.map(({ name, state }) => `${name} ${state.slice("RUN_STEP_STATE_".length)}`)).toEqual([
      "pause UNDONE",
      "tell DONE",
      "never FAILED",
      "later SKIPPED",
    ]);
    expect(readdirSync(join(dir, "faults")).sort()).toEqual([...points].sort());
    expect(killedCount).toBe(points.length);
    const { events = [] } = await get(`/api/v2/events:list?page.pageSize=500&subject=runbook-run/${run.id}`);
    expect(events.map(({ type }) => type?.slice("runbook.".length))).toEqual([
      "started",
      ...["step.begun", "step.done"],
      ...["step.begun", "notice", "step.done"],
      ...["step.begun", "step.failed"],
      "undoing",
      "step.undone",
      "failed",
    ]);
    const { entries = [] } = await get("/api/v2/audit?page.pageSize=500");
    const acts = entries.filter(({ dataJson }) => dataJson?.includes(`runbook-run/${run.id}/`));
    expect(acts.map(({ action, outcome }) => `${action} ${outcome}`).sort()).toEqual(["guard.pause-moves ok", "guard.resume-moves ok"]);
    expect((await get("/api/v2/guards")).guards).toMatchObject({ isPaused: false });
  }, 180_000);
});
