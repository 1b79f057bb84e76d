import { CommandProgressSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import { armFaultpoint, type Logger, silentLogger, sleep, until } from "@aether/kit";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Row } from "../db/schema.ts";
import { openScratchDatabase } from "../db/scratch-database.ts";
import { createEvents } from "../events/events.ts";
import { railLimits } from "../guard/rails.ts";
import { requireMode } from "./ask.ts";
import { createReconciler, type Reconciler } from "./reconcile.ts";
import { createScriptedFleet, type Fate, insertNodes, insertWorkload, type ScriptedFleet } from "./scripted-agents.ts";
import { startMigration } from "./start.ts";
import { toMigration } from "./store.ts";

/** Minutes of deadlines pass in a test when it says so, never because the machine is slow. */
let skewMs = 0;
const nowMs = () => Date.now() + skewMs;

const limits = railLimits({ atOnce: 32, atOnceEachNode: 4, restSeconds: 600, circuitFailures: 3, circuitSeconds: 600 });
let database: Awaited<ReturnType<typeof openScratchDatabase>>;
let fleet: ScriptedFleet;
let reconciler: Reconciler;
let count = 0;

beforeAll(async () => {
  database = await openScratchDatabase();
  await insertNodes(database.db, ["n1", "n2"]);
}, 60_000);
afterAll(() => database.close());

const life = new AbortController();
let onError = () => {};
const log: Logger = Object.assign(Object.create(silentLogger) as Logger, { error: () => onError() });
let tellProgress: (nodeId: string, progress: MessageInitShape<typeof CommandProgressSchema>) => void = () => {};
const makeReconciler = () =>
  createReconciler({
    db: database.db,
    events: createEvents(database.db, database.notices),
    sessions: {
      ...fleet.gateway,
      onProgress(listener) {
        tellProgress = (nodeId, progress) => listener(nodeId, create(CommandProgressSchema, progress));
        return fleet.gateway.onProgress(listener);
      },
    },
    limits,
    log,
    nowMs,
    sweepMs: 50,
  });

async function begin(mode = MigrationMode.STOP_AND_COPY): Promise<string> {
  const name = `w${++count}`;
  await insertWorkload(database.db, name, "n1", `10.77.1.${count}`);
  fleet = createScriptedFleet({ db: database.db, events: createEvents(database.db, database.notices), nodeIds: ["n1", "n2"], mode, nowMs });
  for (const node of fleet.nodes.values()) await node.connect();
  fleet.nodes.get("n1")!.has.set(name, "running");
  reconciler = makeReconciler();
  await reconciler.start(life.signal);
  return name;
}

const start = (workload: string) =>
  startMigration(
    { db: database.db, events: createEvents(database.db, database.notices), sessions: fleet.gateway, limits, nowMs },
    { workload, targetNodeId: undefined, mode: "auto", cause: "operator", traceId: "ab".repeat(16) },
  );

const read = (id: string): Promise<Row<"migrations">> =>
  database.db.selectFrom("migrations").selectAll().where("id", "=", id).executeTakeFirstOrThrow();

/** @param patienceMs after this long time begins to fly, so that whatever waits for a deadline meets it. */
const ended = (id: string, patienceMs = 6_000) => {
  const startedMs = performance.now();
  return until(`the end of ${id}`, 5, 15_000, async () => {
    if (performance.now() - startedMs > patienceMs) skewMs += 5_000;
    const row = await read(id);
    return row.ended_at === null ? undefined : row;
  });
};

/** The control plane dies and another one begins on the same database. */
async function restartCore(): Promise<void> {
  await reconciler.stop();
  await fleet.restartSessions();
  reconciler = makeReconciler();
  await reconciler.start(life.signal);
}

const running = (workload: string): string[] =>
  [...fleet.nodes.values()].filter((node) => node.has.get(workload) === "running").map((node) => node.id);

/** What must be true however it ended. */
async function checkEnd(workload: string, row: Row<"migrations">): Promise<void> {
  const placements = await database.db.selectFrom("placements").selectAll().where("workload", "=", workload).orderBy("epoch").execute();
  const active = placements.filter((placement) => placement.is_active);
  expect(active).toHaveLength(1);
  expect(running(workload).length).toBeLessThanOrEqual(1);
  if (row.state === "done") {
    expect(active[0]).toMatchObject({ node_id: "n2", epoch: 2 });
    expect(running(workload)).toEqual(["n2"]);
  }
  if (row.state === "rolled_back") {
    expect(active[0]).toMatchObject({ node_id: "n1", epoch: 1 });
    expect(running(workload)).toEqual(["n1"]);
  }
  for (const node of fleet.nodes.values())
    expect(new Set(node.begun.map((each) => each.id)).size, "a command was begun twice").toBe(node.begun.length);
  const workloadRow = await database.db.selectFrom("workloads").selectAll().where("name", "=", workload).executeTakeFirstOrThrow();
  expect(workloadRow.migration_id).toBeNull();
  expect(workloadRow.state).toBe(row.state === "needs_operator" ? "needs_operator" : "running");
}

afterEach(async () => {
  await reconciler.stop();
  fleet.stop();
});

describe("a mode that is asked for by name", () => {
  it("is refused with the next best one before anything is on record, and let pass where the node has it", async () => {
    const name = await begin();
    const parts = { db: database.db, sessions: fleet.gateway, nowMs };
    const asked = { workload: name, targetNodeId: "n2", mode: "pre_copy" as const, withinMs: 60_000 };
    await requireMode(parts, asked, "", life.signal);
    fleet.nodes.get("n1")!.script = (action) => (action === "preflight" ? "unequal" : "ok");
    await expect(requireMode(parts, asked, "", life.signal)).rejects.toMatchObject({
      code: "MODE_UNAVAILABLE",
      message: "it has a filter",
      hint: expect.stringContaining("--mode post-copy"),
    });
    await requireMode(parts, { ...asked, mode: "auto" }, "", life.signal);
    const rows = await database.db.selectFrom("migrations").select("id").where("workload", "=", name).execute();
    expect(rows).toEqual([]);
    await expect(requireMode(parts, { ...asked, targetNodeId: "n9" }, "", life.signal)).rejects.toMatchObject({ code: "NODE_NOT_FOUND" });
  });
});

describe("reconcile", () => {
  it("moves a workload, with receipt, phases, journal and events", async () => {
    const name = await begin();
    const id = await start(name);
    reconciler.wake(id);
    const row = await ended(id);
    await checkEnd(name, row);
    expect(row.state).toBe("done");
    const migration = toMigration(row);
    expect(migration.receipt).toMatchObject({ isWhole: true, freezeMs: 42, epochAfter: 2n });
    expect(migration.phases.map((phase) => phase.name)).toContain("restore.all");
    expect(migration.phases.find((phase) => phase.name === "commit")).toMatchObject({
      nodeId: "core",
      facts: { writeMs: expect.any(String) },
    });
    const account = await database.db
      .selectFrom("migration_events")
      .selectAll()
      .where("migration_id", "=", id)
      .orderBy("sequence")
      .execute();
    const states = account.filter((each) => each.type === "state").map((each) => (each.data as { to: string }).to);
    expect(states.filter((state) => state !== "restoring")).toEqual([
      "preparing",
      "copying",
      "freezing",
      "verifying",
      "committed",
      "resumed",
      "done",
    ]);
    const events = await database.db.selectFrom("events").select("type").where("subject", "=", `migration/${id}`).execute();
    expect(events.map((event) => event.type)).toEqual(
      expect.arrayContaining(["migration.planned", "migration.committed", "migration.step.done", "migration.done"]),
    );
  });

  it("hears how far a move is from its own nodes alone, each for itself", async () => {
    const name = await begin();
    const id = await start(name);
    let told: string[] = [];
    const source = fleet.nodes.get("n1")!;
    source.script = (action) => {
      if (action !== "freeze") return "ok";
      const commandId = source.begun.at(-1)!.id;
      tellProgress("n3", { commandId, phase: { name: "forged", nodeId: "n1", outcome: "ok" } });
      tellProgress("n2", { commandId, phase: { name: "own", nodeId: "n1", outcome: "ok" } });
      told = reconciler.livePhases(id).map((phase) => `${phase.name} of ${phase.nodeId}`);
      return "ok";
    };
    reconciler.wake(id);
    await checkEnd(name, await ended(id));
    expect(told).toEqual(["own of n2"]);
  });

  it("refuses a second move of a moving workload and names the first", async () => {
    const name = await begin();
    fleet.nodes.get("n1")!.script = (action) => (action === "copy" ? "silent" : "ok");
    const id = await start(name);
    await expect(start(name)).rejects.toMatchObject({ code: "MIGRATION_IN_PROGRESS", details: { migrationId: id } });
    reconciler.wake(id);
    await checkEnd(name, await ended(id));
  });

  it("cancels before the commit and refuses after it", async () => {
    const name = await begin();
    fleet.nodes.get("n1")!.script = (action) => (action === "copy" ? "silent" : "ok");
    const id = await start(name);
    const disarm = armFaultpoint("core.freezing.before_write", { kind: "delay", ms: 60 });
    reconciler.wake(id);
    await until("copying", 2, 5_000, async () => ((await read(id)).state === "copying" ? true : undefined));
    await reconciler.cancel(id, "token/test");
    disarm();
    const row = await ended(id);
    expect(row).toMatchObject({ state: "rolled_back", error: { code: "CANCELLED" } });
    await checkEnd(name, row);
    await expect(reconciler.cancel(id, "token/test")).rejects.toMatchObject({ code: "MIGRATION_NOT_FOUND" });
  });

  // Not restoring: where both answers are there at once it is passed over.
  const states = ["preparing", "copying", "freezing", "committed", "resumed", "done"];
  const points = states.flatMap((state) => ["before_write", "before_send", "after_send"].map((point) => `core.${state}.${point}`));
  it.each(points)("core dies at %s: the next one ends it well", async (point) => {
    const name = await begin();
    const id = await start(name);
    const reached = Promise.withResolvers<void>();
    onError = reached.resolve;
    const disarm = armFaultpoint(point, { kind: "error" });
    reconciler.wake(id);
    await reached.promise;
    disarm();
    await restartCore();
    const row = await ended(id);
    await checkEnd(name, row);
    expect(row.state).toBe("done");
  });

  const steps = ["preflight", "prepare", "copy", "freeze", "restore", "resume", "drainPages", "release"];
  const cases = steps.flatMap((step) => {
    const fates: Fate[] = ["freeze", "restore", "resume"].includes(step)
      ? ["fails", "dies-before", "dies-after", "silent"]
      : ["fails", "dies-after"];
    return fates.map((fate) => [fate, step] as const);
  });
  it.each(cases)("an agent %s in %s: one runs, and it ends", async (fate, step) => {
    const name = await begin(step === "drainPages" ? MigrationMode.POST_COPY : MigrationMode.STOP_AND_COPY);
    let isFirst = true;
    for (const node of fleet.nodes.values()) {
      node.script = (action) => {
        if (action !== step || !isFirst) return "ok";
        isFirst = false;
        return fate;
      };
    }
    const id = await start(name);
    reconciler.wake(id);
    const row = await ended(id);
    await checkEnd(name, row);
    const isLate = ["resume", "release"].includes(step) || (step === "drainPages" && fate !== "fails");
    const expected = step === "drainPages" && fate === "fails" ? "needs_operator" : isLate || fate === "silent" ? "done" : "rolled_back";
    expect(row.state).toBe(expected);
  });

  it("asks a person when the target is unhealthy, and keeps both sides", async () => {
    const name = await begin();
    fleet.nodes.get("n2")!.script = (action) => (action === "resume" ? "unhealthy" : "ok");
    const id = await start(name);
    reconciler.wake(id);
    const row = await ended(id);
    await checkEnd(name, row);
    expect(row).toMatchObject({ state: "needs_operator", error: { code: "HEALTH_FAILED" } });
    expect(fleet.nodes.get("n1")!.has.get(name)).toBe("frozen");
    expect(running(name)).toEqual(["n2"]);
  });

  it("pays what it owes when the node is back", async () => {
    const name = await begin();
    fleet.nodes.get("n1")!.script = (action) => {
      if (action !== "freeze") return "ok";
      fleet.nodes.get("n2")!.disconnect();
      return "fails";
    };
    const id = await start(name);
    reconciler.wake(id);
    const row = await ended(id);
    expect(row).toMatchObject({ state: "rolled_back", facts: { debts: ["abort"] } });
    expect(running(name)).toEqual(["n1"]);
    await fleet.nodes.get("n2")!.connect();
    await until(
      "the debt to be paid",
      5,
      5_000,
      async () => ((await read(id)).facts as { debts: string[] }).debts.length === 0 || undefined,
    );
    expect(fleet.nodes.get("n2")!.has.has(name)).toBe(false);
  });

  it("rolls back when the placement was taken away under it", async () => {
    const name = await begin();
    const id = await start(name);
    await database.db.updateTable("placements").set({ is_active: false }).where("workload", "=", name).execute();
    reconciler.wake(id);
    expect(await ended(id)).toMatchObject({ state: "rolled_back", error: { code: "STALE_EPOCH" } });
  });

  /** A small generator: the seed names the walk, so that a failure can be repeated. */
  const walk = (seed: number) => () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
  const fates: readonly Fate[] = [
    "ok",
    "ok",
    "ok",
    "ok",
    "ok",
    "ok",
    "fails",
    "unequal",
    "unhealthy",
    "dies-before",
    "dies-after",
    "silent",
  ];
  it.each(Array.from({ length: 8 }, (_, i) => i + 1))("seed %i: whatever happens, one owner and an end", async (seed) => {
    const random = walk(seed * 7_919);
    const name = await begin(random() < 0.4 ? MigrationMode.POST_COPY : MigrationMode.STOP_AND_COPY);
    for (const node of fleet.nodes.values()) node.script = () => fates[Math.floor(random() * fates.length)] ?? "ok";
    const id = await start(name);
    reconciler.wake(id);
    for (let i = 0; i < 3; i++) {
      await sleep(random() * 40);
      if ((await read(id)).ended_at !== null) break;
      expect(running(name).length).toBeLessThanOrEqual(1);
      const chance = random();
      if (chance < 0.5) await restartCore();
      else if (chance < 0.75) await reconciler.cancel(id, "token/test").catch(() => {});
    }
    for (const node of fleet.nodes.values()) node.script = () => "ok";
    const row = await ended(id, 500);
    expect(["done", "rolled_back", "needs_operator"]).toContain(row.state);
    if (((row.facts as { debts: string[] }).debts ?? []).length === 0) await checkEnd(name, row);
    expect(running(name).length).toBeLessThanOrEqual(1);
  });
});
