import { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import { armFaultpoint, silentLogger, until } from "@aether/kit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createAudit } from "../audit/audit.ts";
import { openScratchDatabase } from "../db/scratch-database.ts";
import { createEvents, type Events } from "../events/events.ts";
import { railLimits } from "../guard/rails.ts";
import { createReconciler, type Reconciler } from "../migration/reconcile.ts";
import { createScriptedFleet, insertNodes, insertWorkload, type ScriptedFleet } from "../migration/scripted-agents.ts";
import type { Part } from "../part.ts";
import type { Weigh } from "../risk/weigh.ts";
import { createDecisions } from "./decisions.ts";
import { takeDecisions } from "./take.ts";

let database: Awaited<ReturnType<typeof openScratchDatabase>>;
let events: Events;
let fleet: ScriptedFleet;
let reconciler: Reconciler;
let decisions: Part & { stop(): Promise<void> };
const life = new AbortController();
const nowMs = () => Date.now();

beforeAll(async () => {
  database = await openScratchDatabase();
  events = createEvents(database.db, database.notices);
}, 60_000);
afterAll(() => database.close());

const limits = railLimits({ atOnce: 32, atOnceEachNode: 4, restSeconds: 600, circuitFailures: 3, circuitSeconds: 600 });
const parts = () => ({ db: database.db, events, audit: createAudit(database.db, nowMs), limits, nowMs, log: silentLogger, sweepMs: 30 });
async function startCore(): Promise<void> {
  reconciler = createReconciler({ ...parts(), sessions: fleet.gateway });
  decisions = createDecisions({ ...parts(), sessions: fleet.gateway, reconciler });
  await reconciler.start(life.signal);
  await decisions.start?.(life.signal);
}
async function stopCore(): Promise<void> {
  await decisions.stop();
  await reconciler.stop();
}

beforeEach(async () => {
  for (const table of ["migration_events", "commands", "migrations", "decisions", "signals", "placements", "workloads", "nodes"] as const) {
    await database.db.deleteFrom(table).execute();
  }
  await insertNodes(database.db, ["n1", "n2"]);
  for (const [i, name] of ["a", "b"].entries()) await insertWorkload(database.db, name, "n1", `10.77.1.${i + 1}`);
  fleet = createScriptedFleet({ db: database.db, events, nodeIds: ["n1", "n2"], nowMs });
  for (const node of fleet.nodes.values()) await node.connect();
  for (const name of ["a", "b"]) fleet.nodes.get("n1")!.has.set(name, "running");
  await startCore();
});
afterEach(async () => {
  await stopCore();
  fleet.stop();
});

const ended = (count: number) =>
  until(`${count} ended moves`, 10, 8_000, async () => {
    const rows = await database.db.selectFrom("migrations").selectAll().where("ended_at", "is not", null).orderBy("id").execute();
    return rows.length >= count ? rows : undefined;
  });
const decided = () => database.db.selectFrom("decisions").selectAll().orderBy("id").execute();

describe("decisions", () => {
  it("answers a notice at once: one decision, every workload moved, the node no target any more", async () => {
    fleet.nodes.get("n1")!.signal(SignalKind.NOTICE, Date.now() + 120_000);
    const moves = await ended(2);
    expect(moves.map((move) => [move.workload, move.state, move.target_node_id])).toEqual(
      expect.arrayContaining([
        ["a", "done", "n2"],
        ["b", "done", "n2"],
      ]),
    );
    const [decision, ...others] = await decided();
    expect(others).toEqual([]);
    expect(decision).toMatchObject({ action: "migrate", rule: "notice-evacuate" });
    expect(decision?.since_observed_ms).toBeGreaterThanOrEqual(0);
    expect(new Set(moves.map((move) => move.cause))).toEqual(new Set([`decision/${decision?.id}`]));
    const audit = await database.db.selectFrom("audit").selectAll().where("action", "=", "decision.migrate").execute();
    expect(audit.length).toBeGreaterThan(0);
  });

  it("decides a signal once, also when asked twice", async () => {
    fleet.nodes.get("n1")!.signal(SignalKind.NOTICE, Date.now() + 120_000);
    await ended(2);
    const signal = await database.db.selectFrom("signals").selectAll().executeTakeFirstOrThrow();
    const again = await takeDecisions({ ...parts(), isConnected: () => true, policy: { onRebalance: "migrate" } }, [signal]);
    expect(again).toEqual([]);
    expect(await decided()).toHaveLength(1);
  });

  it("finds its moves again when it dies between the decision and them", async () => {
    const disarm = armFaultpoint("core.decision.before_moves", { kind: "error" });
    fleet.nodes.get("n1")!.signal(SignalKind.NOTICE, Date.now() + 120_000);
    await until("the decision", 5, 5_000, async () => ((await decided()).length > 0 ? true : undefined));
    disarm();
    await stopCore();
    await fleet.restartSessions();
    await startCore();
    const moves = await ended(2);
    expect(moves.map((move) => move.state)).toEqual(["done", "done"]);
    expect(await decided()).toHaveLength(1);
  });

  it("moves on a recommendation when the sums cannot be had, and holds when they say so", async () => {
    await stopCore();
    const take = async (weigh: Weigh) => {
      fleet.nodes.get("n1")!.signal(SignalKind.REBALANCE, Date.now() + 120_000);
      const signal = await until("the signal", 5, 5_000, () =>
        database.db.selectFrom("signals").selectAll().where("decided_at", "is", null).executeTakeFirst(),
      );
      const [taken] = await takeDecisions({ ...parts(), isConnected: () => true, policy: { onRebalance: "weigh" }, weigh }, [signal]);
      return taken?.plan.rule;
    };
    const stays = { action: "stay", rule: "does-not-pay", stayUsd: 1, moveUsd: 2, threshold: 1.5, reason: "it costs more" } as const;
    expect(
      await take(
        async () =>
          new Map([
            ["a", stays],
            ["b", stays],
          ]),
      ),
    ).toBe("rebalance-does-not-pay");
    expect(
      await take(async () => {
        throw new Error("no sums");
      }),
    ).toBe("rebalance-early-move");
    await startCore();
    await ended(2);
  });

  it("decides what was heard while nobody decided", async () => {
    await stopCore();
    fleet.nodes.get("n1")!.signal(SignalKind.NOTICE, Date.now() + 120_000);
    await until("the signal", 5, 5_000, async () =>
      (await database.db.selectFrom("signals").selectAll().execute()).length > 0 ? true : undefined,
    );
    await startCore();
    await ended(2);
    expect(await decided()).toHaveLength(1);
  });

  it("tries again while time is left when a move was rolled back", async () => {
    let failures = 1;
    fleet.nodes.get("n1")!.script = (action) => (action === "freeze" && failures-- > 0 ? "fails" : "ok");
    fleet.nodes.get("n1")!.signal(SignalKind.NOTICE, Date.now() + 120_000);
    const moves = await ended(3);
    expect(moves.map((move) => move.state).sort()).toEqual(["done", "done", "rolled_back"]);
    expect(await decided()).toHaveLength(1);
    for (const name of ["a", "b"]) expect(fleet.nodes.get("n2")!.has.get(name)).toBe("running");
  });

  it("decides once that a move that cannot succeed is not tried again, and says why", async () => {
    fleet.nodes.get("n1")!.script = (action) => (action === "preflight" ? "unequal" : "ok");
    fleet.nodes.get("n1")!.signal(SignalKind.NOTICE, Date.now() + 120_000);
    await until("three decisions", 20, 8_000, async () => ((await decided()).length >= 3 ? true : undefined));
    const [first, ...given] = await decided();
    expect(given.map(({ reason }) => reason).sort()).toEqual(
      ["a", "b"].map(
        (name) => `${name} is not moved again from n1: its move ended with PREFLIGHT_REFUSED, which another try does not mend`,
      ),
    );
    expect(given[0]).toMatchObject({
      action: "hold",
      rule: "notice-given-up",
      rule_version: first?.rule_version,
      moves: [{ action: "stay" }],
    });
    expect(given[0]?.inputs).toContainEqual({ name: "decided first by", value: first?.id });
    const entry = await database.db.selectFrom("audit").selectAll().orderBy("sequence", "desc").limit(1).executeTakeFirstOrThrow();
    expect(entry).toMatchObject({ actor: "core", action: "decision.hold", subject: "node/n1" });
    // Another process finds it on record.
    await stopCore();
    await startCore();
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(await decided()).toHaveLength(3);
    for (const name of ["a", "b"]) expect(fleet.nodes.get("n1")!.has.get(name)).toBe("running");
  });

  it("moves what nobody could take as soon as somebody can", async () => {
    fleet.nodes.get("n2")!.disconnect();
    await until("n2 to be gone", 5, 2_000, async () => (fleet.gateway.isConnected("n2") ? undefined : true));
    fleet.nodes.get("n1")!.signal(SignalKind.NOTICE, Date.now() + 120_000);
    await until("the decision", 5, 5_000, async () => ((await decided()).length > 0 ? true : undefined));
    expect((await decided())[0]).toMatchObject({ action: "snapshot", rule: "notice-snapshot" });
    await fleet.nodes.get("n2")!.connect();
    const moves = await ended(2);
    expect(moves.map((move) => move.state)).toEqual(["done", "done"]);
  });

  it("frees the node when the announcement is withdrawn", async () => {
    fleet.nodes.get("n2")!.signal(SignalKind.NOTICE, Date.now() + 120_000);
    fleet.nodes.get("n2")!.signal(SignalKind.WITHDRAWN);
    await until("two decisions", 5, 5_000, async () => ((await decided()).length === 2 ? true : undefined));
    expect((await decided()).map((decision) => decision.rule)).toEqual(["nothing-to-move", "signal-withdrawn"]);
    const node = await database.db.selectFrom("nodes").selectAll().where("id", "=", "n2").executeTakeFirstOrThrow();
    expect(node.interruption_at).toBeNull();
  });
});
