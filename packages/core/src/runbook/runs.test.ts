// Runs on a whole control plane with two agents that answer every command: through the API as anybody has it.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { armFaultpoint, until } from "@aether/kit";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { type MovingCloud, startMovingCloud } from "../testing/moving-cloud.ts";

let cloud: MovingCloud;
const call: MovingCloud["core"]["call"] = (...asked) => cloud.core.call(...asked);
const armed: (() => void)[] = [];

beforeAll(async () => {
  cloud = await startMovingCloud({ stepMs: 5, config: { heartbeat: { lostAfterMs: 3_000 } } });
  for (const name of ["db", "web"])
    await call("POST", "/api/v2/workloads", {
      spec: { name, rootfs: "host", argv: ["/bin/true"], memoryLimitBytes: String(64 << 20) },
      nodeId: "n1",
    });
}, 60_000);
afterEach(() => {
  for (const disarm of armed.splice(0)) disarm();
  vi.unstubAllEnvs();
});
afterAll(() => cloud.stop());

interface Step {
  name: string;
  state: string;
  detail: string;
  made: string[];
  confirmedBy: string;
  error?: { code: string; message: string };
}
interface Run {
  id: string;
  state: string;
  steps: Step[];
  startedBy: string;
  parameters: Record<string, string>;
  alert: string;
  traceId: string;
  error?: { code: string; message: string };
}

const set = (name: string, steps: object[], parameters: object[] = []) =>
  call("PUT", `/api/v2/runbooks/${name}`, { name, steps, parameters });
const start = (name: string, parameters: object = {}, headers: Record<string, string> = {}) =>
  call("POST", `/api/v2/runbooks/${name}:run`, { parameters }, headers);
const get = async (id: string): Promise<Run> => (await call("GET", `/api/v2/runbook-runs/${id}`)).body.run;
const ended = (id: string) =>
  until(`${id} to end`, 50, 30_000, async () => {
    const run = await get(id);
    return /DONE|FAILED|CANCELLED/.test(run.state) ? run : undefined;
  });
const waits = (id: string) =>
  until(`${id} to wait`, 50, 10_000, async () => ((await get(id)).state === "RUN_STATE_WAITING" ? true : undefined));
const states = ({ steps }: Run) => steps.map(({ name, state }) => `${name} ${state.replace("RUN_STEP_STATE_", "").toLowerCase()}`);
const eventsOf = async (id: string): Promise<string[]> => {
  const { body } = await call("GET", `/api/v2/events:list?page.pageSize=1000&subject=runbook-run/${id}`);
  return body.events.map(({ type }: { type: string }) => type);
};
const auditOf = async (cause: string): Promise<{ action: string; actor: string; outcome: string }[]> => {
  const { body } = await call("GET", "/api/v2/audit?page.pageSize=500");
  return body.entries.filter(({ dataJson }: { dataJson: string }) => dataJson.includes(cause));
};
const token = async (name: string, role: string) => {
  const { body } = await call("POST", "/api/v2/tokens", { name, role });
  return { id: body.token.id as string, headers: { authorization: `Bearer ${body.secret}` } };
};
const placed = async (name: string) => (await call("GET", `/api/v2/workloads/${name}`)).body.workload.nodeId;
const isCordoned = async (id: string) => (await call("GET", `/api/v2/nodes/${id}`)).body.node.isCordoned;

describe("an alert", () => {
  it("begins one run however often it is told, with its labels as parameters, and says why where it cannot", async () => {
    const message = "$node is silent";
    await set("told", [{ name: "say", act: "notify", inputs: { message } }], [{ name: "node", type: "text" }]);
    const alert = (fingerprint: string, labels: object, status = "firing") => ({
      ...{ status, fingerprint, startsAt: "2026-01-02T03:04:05Z", endsAt: "0001-01-01T00:00:00Z", generatorURL: "http://prometheus" },
      labels: { alertname: "NodeSilent", severity: "page", ...labels },
    });
    const tell = (...alerts: object[]) =>
      call("POST", "/api/v2/runbooks/told:alert", { version: "4", status: "firing", receiver: "aether", groupLabels: {}, alerts });
    const all = [alert("aa", { node: "n1" }), alert("bb", {}), alert("cc", { node: "n2" }), alert("dd", { node: "n3" }, "resolved")];
    const first = await tell(...all);
    expect([first.status, first.body.alerts]).toMatchObject([
      200,
      [
        { alert: "aa@2026-01-02T03:04:05Z", runId: expect.stringMatching(/^run-/) },
        { alert: "bb@2026-01-02T03:04:05Z", error: { code: "INVALID_ARGUMENT", field: "parameters.node" } },
        { alert: "cc@2026-01-02T03:04:05Z", runId: expect.stringMatching(/^run-/) },
      ],
    ]);
    const run = await ended(first.body.alerts[0].runId);
    expect(run).toMatchObject({ state: "RUN_STATE_DONE", parameters: { node: "n1" }, alert: "aa@2026-01-02T03:04:05Z" });
    await ended(first.body.alerts[2].runId);
    const again = await tell(...all);
    expect(again.body.alerts[0]).toMatchObject({ runId: run.id, isKnown: true });
    expect((await call("GET", "/api/v2/runbook-runs?runbook=told")).body.runs).toHaveLength(2);
    // Where none could begin one, the sender is told.
    expect((await tell(alert("bb", {}))).body.error).toMatchObject({ code: "INVALID_ARGUMENT", field: "parameters.node" });
    expect((await tell({ status: "firing" })).body.error.field).toMatch(/^notification\.alerts\[0\]\./);
    const { headers } = await token("looking", "ROLE_VIEWER");
    expect((await call("POST", "/api/v2/runbooks/told:alert", { alerts: all }, headers)).status).toBe(403);
    await call("DELETE", "/api/v2/runbooks/told");
  });
});

describe("a runbook", () => {
  it("is there from the start, and one of one's own has versions that stay readable", async () => {
    const { body } = await call("GET", "/api/v2/runbooks");
    expect(body.runbooks.map(({ name }: { name: string }) => name)).toEqual([
      "maintenance",
      "node-lost",
      "rehearse",
      "retire-node",
      "return-node",
    ]);
    const wait = (seconds: string) => [{ name: "a", act: "wait", inputs: { seconds } }];
    expect((await set("mine", wait("1"))).body.runbook).toMatchObject({ name: "mine", version: 1, changedBy: "token/first-admin" });
    expect((await set("mine", wait("1"))).body.runbook.version).toBe(1);
    expect((await set("mine", wait("2"))).body.runbook.version).toBe(2);
    expect((await call("GET", "/api/v2/runbooks/mine?version=1")).body.runbook.steps[0].inputs).toEqual({ seconds: "1" });
    expect((await call("DELETE", "/api/v2/runbooks/mine")).status).toBe(200);
    expect((await start("mine")).body.error.code).toBe("RUNBOOK_NOT_FOUND");
    expect((await call("GET", "/api/v2/runbooks/mine/versions")).body.runbooks).toHaveLength(2);
    const refused = await set("retire-node", wait("1"));
    expect([refused.status, refused.body.error.code, refused.body.error.field]).toEqual([400, "RUNBOOK_BUILT_IN", "runbook.name"]);
    expect(
      (await call("POST", "/api/v2/runbooks:validate", { runbook: { name: "x", steps: [{ name: "a", act: "sh" }] } })).body.error,
    ).toMatchObject({
      field: "runbook.steps[0].act",
    });
  });

  it("says what it would do, and does nothing of it", async () => {
    const newest = async () =>
      (await call("GET", "/api/v2/events:list?page.pageSize=500&newestFirst=true")).body.events
        .map(({ type }: { type: string }) => type)
        .filter((type: string) => /runbook|snapshot|migration|cordon/.test(type));
    const before = await newest();
    const { body } = await call("POST", "/api/v2/runbooks/retire-node:preview", { parameters: { node: "n1" } });
    const would = Object.fromEntries(body.steps.map((step: { name: string; would: string }) => [step.name, step.would]));
    expect(would).toMatchObject({
      cordon: "cordons n1",
      snapshots: "makes 2 snapshots: db and web",
      drain: "cordons n1 and moves db and web away",
      tell: "tells by event: n1 is empty and cordoned: it may be taken away",
    });
    expect(body.steps.find(({ name }: { name: string }) => name === "empty").problems).toEqual(["n1 still has db and web"]);
    expect(await isCordoned("n1")).toBe(false);
    expect(await newest()).toEqual(before);
  });

  it("is refused before anything is done: to who may not, with what is not there, and while the same runs", async () => {
    const viewer = await token("looks", "ROLE_VIEWER");
    expect((await start("return-node", { node: "n1" }, viewer.headers)).status).toBe(403);
    const seen = await call("POST", "/api/v2/runbooks/node-lost:preview", { parameters: { node: "n1" } }, viewer.headers);
    expect([seen.body.isStartable, seen.body.steps.some(({ isAllowed }: { isAllowed: boolean }) => isAllowed)]).toEqual([false, false]);
    const long = (await start("maintenance", { reason: "ü".repeat(1_000) })).body.run;
    expect(long.parameters.reason).toHaveLength(1_000);
    await call("POST", `/api/v2/runbook-runs/${long.id}:cancel`, { undo: true });
    await ended(long.id);
    expect((await start("maintenance", { reason: "a\u0000b" })).status).toBe(400);
    expect((await start("return-node", { node: "n9" })).body.error).toMatchObject({ code: "NODE_NOT_FOUND", field: "parameters.node" });
    expect((await start("return-node", {})).body.error).toMatchObject({ code: "INVALID_ARGUMENT", field: "parameters.node" });
    await set("slow", [{ name: "a", act: "wait", inputs: { seconds: "600" } }]);
    const { run } = (await start("slow")).body;
    expect((await start("slow")).body.error).toMatchObject({ code: "RUN_UNDER_WAY", details: { runId: run.id } });
    await call("POST", `/api/v2/runbook-runs/${run.id}:cancel`, {});
    expect(states(await ended(run.id))).toEqual(["a cancelled"]);
    expect((await call("POST", `/api/v2/runbook-runs/${run.id}:cancel`, {})).body.error.code).toBe("RUN_ENDED");
  });
});

describe("a run", () => {
  it("does everything once, as its starter, wherever the control plane is cut off", async () => {
    const operator = await token("night-shift", "ROLE_OPERATOR");
    // Each is hit once: what was in memory is gone, what is on record is gone on from.
    const dir = await mkdtemp(join(tmpdir(), "aether-faults-"));
    vi.stubEnv("AETHER_FAULTS_DIR", dir);
    const points = [
      "cordon.before_begin",
      "cordon.looked",
      "snapshot.begun",
      "snapshot.looked",
      "drain.looked",
      "notify.looked",
      "notify.done",
      "before_end",
    ];
    for (const point of points) armed.push(armFaultpoint(`core.runbook.${point}`, { kind: "error" }));
    await set(
      "leave",
      [
        { name: "cordon", act: "cordon", inputs: { node: "$node" } },
        { name: "keep", act: "snapshot", inputs: { node: "$node" } },
        { name: "drain", act: "drain", inputs: { node: "$node" } },
        { name: "empty", act: "check", inputs: { condition: "node-empty", node: "$node" } },
        { name: "tell", act: "notify", inputs: { message: "$node is empty" } },
      ],
      [{ name: "node", type: "node" }],
    );
    const { run } = (await start("leave", { node: "n1" }, operator.headers)).body;
    const done = await ended(run.id);
    expect((await readdir(dir)).sort()).toEqual(points.map((point) => `core.runbook.${point}`).sort());
    await rm(dir, { recursive: true });
    expect([done.state, states(done)]).toEqual(["RUN_STATE_DONE", ["cordon done", "keep done", "drain done", "empty done", "tell done"]]);
    expect([await placed("db"), await placed("web"), await isCordoned("n1")]).toEqual(["n2", "n2", true]);
    const made = (noun: string) => done.steps.flatMap((step) => step.made.filter((each) => each.startsWith(`${noun}/`)));
    expect([made("snapshot").length, made("migration").length]).toEqual([2, 2]);
    const moves = (await call("GET", "/api/v2/migrations?page.pageSize=100")).body.migrations;
    expect(moves.map(({ cause, traceId }: { cause: string; traceId: string }) => [cause, traceId])).toEqual([
      [`runbook-run/${run.id}/drain`, run.traceId],
      [`runbook-run/${run.id}/drain`, run.traceId],
    ]);
    const told = await eventsOf(run.id);
    expect(told.filter((type) => type === "runbook.step.begun")).toHaveLength(5);
    expect(told.filter((type) => type === "runbook.step.done")).toHaveLength(5);
    expect(told.filter((type) => type === "runbook.notice")).toHaveLength(1);
    const acts = await auditOf(`runbook-run/${run.id}/`);
    expect(acts.map(({ action, actor, outcome }) => `${actor} ${action} ${outcome}`).sort()).toEqual([
      "token/night-shift migration.start ok",
      "token/night-shift migration.start ok",
      "token/night-shift node.cordon ok",
      "token/night-shift snapshot.create ok",
      "token/night-shift snapshot.create ok",
    ]);
    expect((await call("GET", "/api/v2/audit:verify")).body.isIntact).toBe(true);
  });

  it("goes on where it was after a restart, and waits for a person's word that is on record", async () => {
    await set("gate", [
      { name: "pause", act: "pause-moves", inputs: { reason: "work" } },
      { name: "sure", act: "confirm", inputs: { message: "go on?", other_person: "yes" } },
      { name: "resume", act: "resume-moves" },
    ]);
    const operator = await token("second", "ROLE_OPERATOR");
    const { run } = (await start("gate")).body;
    await waits(run.id);
    await cloud.restartCore();
    const confirm = (body: object, headers = {}) => call("POST", `/api/v2/runbook-runs/${run.id}:confirm`, body, headers);
    expect((await confirm({ step: "sure" })).body.error.code).toBe("PERMISSION_DENIED");
    expect((await confirm({ step: "resume" }, operator.headers)).body.error).toMatchObject({ code: "RUN_NOT_WAITING", field: "step" });
    expect((await confirm({ step: "sure", note: "seen" }, operator.headers)).status).toBe(200);
    const done = await ended(run.id);
    expect([done.state, done.steps[1]?.confirmedBy, done.steps[1]?.detail]).toEqual([
      "RUN_STATE_DONE",
      "token/second",
      "confirmed by token/second: seen",
    ]);
    expect((await eventsOf(run.id)).filter((type) => type === "runbook.step.begun")).toHaveLength(2);
    expect((await call("GET", "/api/v2/guards")).body.guards.isPaused).toBe(false);
  });

  it("takes back what it has set, and only that, when a step says so", async () => {
    await call("POST", "/api/v2/nodes/n1:uncordon", {});
    await call("POST", "/api/v2/nodes/n2:cordon", { reason: "by hand" });
    await set("back", [
      { name: "mine", act: "cordon", inputs: { node: "n1" } },
      { name: "not-mine", act: "cordon", inputs: { node: "n2" } },
      { name: "pause", act: "pause-moves" },
      { name: "never", act: "check", inputs: { condition: "node-silent", node: "n2" }, onFailure: "STEP_FAILURE_UNDO" },
      { name: "later", act: "notify", inputs: { message: "never said" } },
    ]);
    const { run } = (await start("back")).body;
    const failed = await ended(run.id);
    expect([failed.state, states(failed)]).toEqual([
      "RUN_STATE_FAILED",
      ["mine undone", "not-mine done", "pause undone", "never failed", "later skipped"],
    ]);
    expect([await isCordoned("n1"), await isCordoned("n2")]).toEqual([false, true]);
    expect((await call("GET", "/api/v2/guards")).body.guards.isPaused).toBe(false);
    await call("POST", "/api/v2/nodes/n2:uncordon", {});
  });

  it("acts no longer for a credential that is revoked", async () => {
    const gone = await token("leaves", "ROLE_OPERATOR");
    await set("later", [
      { name: "sure", act: "confirm", inputs: { message: "go on?" } },
      { name: "pause", act: "pause-moves" },
    ]);
    const { run } = (await start("later", {}, gone.headers)).body;
    await waits(run.id);
    await call("DELETE", `/api/v2/tokens/${gone.id}`);
    await call("POST", `/api/v2/runbook-runs/${run.id}:confirm`, { step: "sure" });
    const failed = await ended(run.id);
    expect([failed.state, failed.steps[1]?.error?.code]).toEqual(["RUN_STATE_FAILED", "PERMISSION_DENIED"]);
    expect((await call("GET", "/api/v2/guards")).body.guards.isPaused).toBe(false);
  });

  it("brings back what ran on a node that a person says is dead", async () => {
    await cloud.join("n3");
    for (const name of ["db", "web"]) await call("DELETE", `/api/v2/workloads/${name}?force=true`);
    const spec = {
      name: "kept",
      rootfs: "host",
      argv: ["/bin/true"],
      memoryLimitBytes: String(64 << 20),
      evacuation: { onNodeLost: "ON_NODE_LOST_RESTORE" },
    };
    await call("POST", "/api/v2/workloads", { spec, nodeId: "n3" });
    await call("POST", "/api/v2/snapshots", { workload: "kept" });
    expect((await start("node-lost", { node: "n3" })).status).toBe(200);
    const alive = (await call("GET", "/api/v2/runbook-runs?runbook=node-lost")).body.runs[0];
    expect((await ended(alive.id)).error).toMatchObject({ code: "CHECK_FAILED", message: "n3 is heard" });
    await cloud.cut("n3");
    const { run } = (await start("node-lost", { node: "n3" })).body;
    await waits(run.id);
    await call("POST", `/api/v2/runbook-runs/${run.id}:confirm`, { step: "dead", note: "terminated" });
    const done = await ended(run.id);
    expect([done.state, done.error?.message]).toEqual(["RUN_STATE_DONE", undefined]);
    expect(await placed("kept")).not.toBe("n3");
  });

  it("moves one workload and rehearses an interruption where it is now, once each", async () => {
    const dir = await mkdtemp(join(tmpdir(), "aether-faults-"));
    vi.stubEnv("AETHER_FAULTS_DIR", dir);
    for (const act of ["migrate", "drill"]) armed.push(armFaultpoint(`core.runbook.${act}.looked`, { kind: "error" }));
    const to = (await placed("kept")) === "n1" ? "n2" : "n1";
    await set("rehearsal", [
      { name: "move", act: "migrate", inputs: { workload: "kept", to } },
      { name: "rehearse", act: "drill", inputs: { node: to, window_seconds: "60" } },
    ]);
    const telling = setInterval(() => void cloud.report("kept"), 200);
    const { run } = (await start("rehearsal")).body;
    const done = await ended(run.id);
    clearInterval(telling);
    expect([done.state, done.error?.message]).toEqual(["RUN_STATE_DONE", undefined]);
    expect(done.steps.map(({ made }) => made.map((each) => each.split("/")[0]))).toEqual([["migration"], ["drill"]]);
    const { drills } = (await call("GET", "/api/v2/drills")).body;
    expect(drills.map(({ cause, state }: { cause: string; state: string }) => [cause, state])).toEqual([
      [`runbook-run/${run.id}/rehearse`, "DRILL_STATE_PASSED"],
    ]);
    expect((await readdir(dir)).length).toBe(2);
    await rm(dir, { recursive: true });
  });
});
