// PlanService: what would happen if these nodes were given notice now. Made by the functions that decide a real notice, on the live fleet, with the
// nodes taken as announced; nothing is written and nobody is told.
import { fault, parseNodeId } from "@aether/contract";
import { type PlannedMove, PlannedMoveSchema, PlanService, WavePlanSchema } from "@aether/contract/gen/aether/v2/plan_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Db } from "../db/database.ts";
import type { RailLimits } from "../guard/rails.ts";
import { readNodeViews } from "../migration/fleet-view.ts";
import { poolOf, poolsUnderSignal } from "../migration/plan.ts";
import type { Part } from "../part.ts";
import { decide } from "./decide.ts";
import { readDecisionInput } from "./view.ts";

export interface PlanServiceOptions {
  readonly db: Db;
  readonly sessions: { isConnected(nodeId: string): boolean };
  readonly limits: RailLimits;
  readonly nowMs: () => number;
}

const mostNodes = 1_000;

const said = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

export function createPlanService({ db, sessions, limits, nowMs }: PlanServiceOptions): Part {
  /** The named nodes, and those of the named pools. Throws NODE_NOT_FOUND, INVALID_ARGUMENT. */
  async function resolve(nodeIds: readonly string[], pools: readonly string[]): Promise<string[]> {
    if (nodeIds.length === 0 && pools.length === 0)
      throw fault("INVALID_ARGUMENT", "node_ids or pools must name something", { field: "node_ids" });
    const nodes = await readNodeViews(db, sessions.isConnected);
    const known = new Set(nodes.map(({ id }) => id));
    for (const [i, id] of nodeIds.entries()) {
      const parsed = parseNodeId(id, `node_ids[${i}]`);
      if (!known.has(parsed)) throw fault("NODE_NOT_FOUND", `there is no node ${JSON.stringify(parsed)}`, { field: `node_ids[${i}]` });
    }
    const wanted = new Set(pools);
    const present = new Set(nodes.map(poolOf));
    const missing = pools.findIndex((pool) => !present.has(pool));
    if (missing >= 0) {
      const there = [...present].filter((pool) => pool !== "").sort();
      throw fault(
        "INVALID_ARGUMENT",
        `no node is of the pool ${JSON.stringify(pools[missing]?.slice(0, 80))}; there are ${there.slice(0, 20).join(", ") || "none"}`,
        { field: `pools[${missing}]` },
      );
    }
    const all = [...new Set([...nodeIds, ...nodes.filter((node) => wanted.has(poolOf(node))).map(({ id }) => id)])].sort();
    if (all.length > mostNodes)
      throw fault("INVALID_ARGUMENT", `a plan is for at most ${mostNodes} nodes, not ${all.length}`, { field: "node_ids" });
    return all;
  }

  async function plan(nodeIds: readonly string[], windowMs: number) {
    const atMs = nowMs();
    const { epochs: _, ...read } = await readDecisionInput(db, { isConnected: sessions.isConnected, limits, nodeIds }, atMs);
    const going = new Set(nodeIds);
    const nodes = read.nodes.map((node) => (going.has(node.id) ? { ...node, announced: "notice" as const } : node));
    const signals = nodeIds.map((nodeId) => ({ id: nodeId, kind: "notice" as const, nodeId, effectiveAtMs: atMs + windowMs }));
    const context = { ...read.context, poolsUnderSignal: poolsUnderSignal(nodes) };
    const plans = decide({ ...read, nodes, context, signals, policy: { onRebalance: "migrate" }, weighed: new Map() }, atMs);
    const freezes = new Map([...read.workloads.values()].flat().map((each) => [each.name, each.times.freezeMs]));
    const moves = nodeIds.flatMap((nodeId) =>
      (plans.get(nodeId)?.moves ?? []).map(
        (move): PlannedMove =>
          create(PlannedMoveSchema, {
            workload: move.workload,
            sourceNodeId: nodeId,
            targetNodeId: move.targetNodeId,
            action: move.action || "stay",
            priority: move.priority,
            startsAfterMs: move.startsAfterMs,
            safeAfterMs: move.safeAfterMs,
            freezeMs: move.action === "move" ? (freezes.get(move.workload) ?? 0) : 0,
            reason: move.refusal || plans.get(nodeId)?.reason || "",
            candidates: move.candidates,
            guards: move.guards,
          }),
      ),
    );
    const rank = { move: 0, snapshot: 1, stay: 2 } as const;
    moves.sort((a, b) => rank[a.action as keyof typeof rank] - rank[b.action as keyof typeof rank] || a.startsAfterMs - b.startsAfterMs);
    const count = (action: string) => moves.filter((move) => move.action === action).length;
    const last = Math.max(0, ...moves.map((move) => move.safeAfterMs));
    return create(WavePlanSchema, {
      at: timestampFromMs(atMs),
      nodeIds: [...nodeIds],
      windowMs,
      moves,
      summary:
        moves.length === 0
          ? `nothing runs on ${nodeIds.join(", ")}`
          : `of ${moves.length} workload${moves.length === 1 ? "" : "s"} ${said(count("move"), "moves", "move")}, the last safe after ${(last / 1000).toFixed(1)} s; ${said(count("snapshot"), "is", "are")} kept in snapshots first; ${said(count("stay"), "stays and is", "stay and are")} lost`,
    });
  }

  return {
    routes: (router: ConnectRouter) => {
      router.service(PlanService, {
        async planWave({ nodeIds, pools, windowSeconds }) {
          if (windowSeconds > 86_400) throw fault("INVALID_ARGUMENT", "window_seconds is at most 86400", { field: "window_seconds" });
          return { plan: await plan(await resolve(nodeIds, pools), (windowSeconds || 120) * 1000) };
        },
      });
    },
  };
}
