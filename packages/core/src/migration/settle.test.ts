import { armFaultpoint, silentLogger, until } from "@aether/kit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openScratchDatabase } from "../db/scratch-database.ts";
import { createEvents } from "../events/events.ts";
import { railLimits } from "../guard/rails.ts";
import { createReconciler, type Reconciler } from "./reconcile.ts";
import { createScriptedFleet, insertNodes, insertWorkload, type Script, type ScriptedFleet } from "./scripted-agents.ts";
import { createSettler, type Settler } from "./settle.ts";
import { startMigration } from "./start.ts";

const limits = railLimits({ atOnce: 32, atOnceEachNode: 4, restSeconds: 600, circuitFailures: 3, circuitSeconds: 600 });
let database: Awaited<ReturnType<typeof openScratchDatabase>>;
let fleet: ScriptedFleet;
let reconciler: Reconciler;
let settler: Settler;
let skewMs = 0;
let count = 0;
const nowMs = () => Date.now() + skewMs;
let life = new AbortController();

beforeAll(async () => {
  database = await openScratchDatabase();
  await insertNodes(database.db, ["n1", "n2"]);
}, 60_000);
afterAll(() => database.close());
afterEach(async () => {
  await stopCore();
  fleet.stop();
});

const parts = () => ({
  db: database.db,
  events: createEvents(database.db, database.notices),
  sessions: fleet.gateway,
  limits,
  log: silentLogger,
  nowMs,
});

async function startCore(): Promise<void> {
  life = new AbortController();
  reconciler = createReconciler({ ...parts(), sweepMs: 50 });
  settler = createSettler({ ...parts(), payDebts: (nodeId) => reconciler.payDebts(nodeId) });
  await reconciler.start(life.signal);
  await settler.start?.(life.signal);
}

async function stopCore(): Promise<void> {
  await settler.stop?.();
  await reconciler.stop();
  life.abort();
}

/** A move from n1 to n2 that ends with a person needed. */
async function stuck(scripts: { n1?: Script; n2?: Script }): Promise<{ id: string; name: string }> {
  const name = `s${++count}`;
  await insertWorkload(database.db, name, "n1", `10.77.2.${count}`);
  fleet = createScriptedFleet({ db: database.db, events: createEvents(database.db, database.notices), nowMs, nodeIds: ["n1", "n2"] });
  for (const node of fleet.nodes.values()) {
    node.script = scripts[node.id as "n1" | "n2"] ?? (() => "ok");
    await node.connect();
  }
  fleet.nodes.get("n1")!.has.set(name, "running");
  await startCore();
  const id = await startMigration(parts(), {
    workload: name,
    targetNodeId: undefined,
    mode: "auto",
    cause: "operator",
    traceId: "ab".repeat(16),
  });
  reconciler.wake(id);
  const startedMs = performance.now();
  await until(`the end of ${id}`, 5, 15_000, async () => {
    if (performance.now() - startedMs > 500) skewMs += 20_000;
    const row = await database.db.selectFrom("migrations").select("state").where("id", "=", id).executeTakeFirstOrThrow();
    return row.state === "needs_operator" ? true : undefined;
  });
  for (const node of fleet.nodes.values()) node.script = () => "ok";
  return { id, name };
}

const running = (name: string) => [...fleet.nodes.values()].filter((node) => node.has.get(name) === "running").map((node) => node.id);
const unhealthy: Script = (action) => (action === "resume" ? "unhealthy" : "ok");

async function expectSettled(id: string, name: string, nodeId: string, state: string, epoch: number): Promise<void> {
  const row = await database.db.selectFrom("migrations").selectAll().where("id", "=", id).executeTakeFirstOrThrow();
  const workload = await database.db.selectFrom("workloads").selectAll().where("name", "=", name).executeTakeFirstOrThrow();
  const placed = await database.db
    .selectFrom("placements")
    .selectAll()
    .where("workload", "=", name)
    .where("is_active", "=", true)
    .execute();
  expect(row.state).toBe(state);
  expect(workload).toMatchObject({ state: "running", migration_id: null });
  expect(placed).toHaveLength(1);
  expect(placed[0]).toMatchObject({ node_id: nodeId, epoch });
  await until("one instance and no leftovers", 5, 3_000, async () => {
    const others = [...fleet.nodes.values()].filter((node) => node.id !== nodeId && node.has.has(name));
    return running(name).join() === nodeId && others.length === 0 ? true : undefined;
  });
}

const settle = (id: string, keep: "source" | "target", otherNodeIsDead = false) =>
  settler.settle({ id, keep, otherNodeIsDead, actor: "token/test" });

describe("settling a move", () => {
  it("keeps an unhealthy target: the source's frozen copy goes", async () => {
    const { id, name } = await stuck({ n2: unhealthy });
    const plan = await settle(id, "target");
    expect(plan.consequences.join(" ")).toContain("frozen copy on n1 is destroyed");
    await expectSettled(id, name, "n2", "done", 2);
  });

  it("keeps the source after the commit: the target's copy is gone before the source runs", async () => {
    const { id, name } = await stuck({ n2: unhealthy });
    const plan = await settle(id, "source");
    expect(plan.consequences.join(" ")).toContain("clients were told by n2 since then is lost");
    await expectSettled(id, name, "n1", "rolled_back", 3);
    const orders = [...fleet.nodes.get("n2")!.begun, ...fleet.nodes.get("n1")!.begun].map((each) => each.action);
    expect(orders.indexOf("removeWorkload")).toBeGreaterThan(-1);
  });

  it("changes nothing while the other node cannot confirm, and says how to go on", async () => {
    const { id, name } = await stuck({ n2: unhealthy });
    fleet.nodes.get("n2")!.disconnect();
    await until("n2 away", 5, 2_000, async () => (fleet.gateway.isConnected("n2") ? undefined : true));
    await expect(settle(id, "source")).rejects.toMatchObject({ code: "NODE_NOT_CONNECTED" });
    expect(running(name)).toEqual(["n2"]);
    const row = await database.db.selectFrom("workloads").selectAll().where("name", "=", name).executeTakeFirstOrThrow();
    expect(row).toMatchObject({ state: "needs_operator", migration_id: null });
    fleet.nodes.get("n2")!.has.delete(name); // terminated
    await settle(id, "source", true);
    await expectSettled(id, name, "n1", "rolled_back", 3);
  });

  it("goes on after a death of the control plane between any two of its steps", async () => {
    for (const point of ["core.settle.intended", "core.settle.placed"]) {
      const { id, name } = await stuck({ n2: unhealthy });
      const disarm = armFaultpoint(point, { kind: "error" });
      await expect(settle(id, "source")).rejects.toThrow();
      disarm();
      expect(running(name).length).toBeLessThanOrEqual(1);
      await stopCore();
      await startCore();
      await until("the settlement", 5, 5_000, async () => (running(name).join() === "n1" ? true : undefined));
      await until("its record", 5, 5_000, async () => {
        const row = await database.db.selectFrom("migrations").select("state").where("id", "=", id).executeTakeFirstOrThrow();
        return row.state === "rolled_back" ? true : undefined;
      });
      await expectSettled(id, name, "n1", "rolled_back", 3);
      await stopCore();
      fleet.stop();
    }
  });

  it("refuses what cannot be: a copy that never arrived, another choice in the middle, a move that needs nobody", async () => {
    const { id } = await stuck({ n2: unhealthy });
    const disarm = armFaultpoint("core.settle.intended", { kind: "error" });
    await expect(settle(id, "target")).rejects.toThrow();
    disarm();
    await expect(settle(id, "source")).rejects.toMatchObject({ code: "SETTLE_REFUSED", field: "keep" });
    await settle(id, "target");
    await expect(settle(id, "target")).rejects.toMatchObject({ code: "SETTLE_REFUSED", field: "id" });
    await expect(settle("mig-none", "target")).rejects.toMatchObject({ code: "MIGRATION_NOT_FOUND" });
  });
});
