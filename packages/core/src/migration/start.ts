// Begins a move on somebody's request: everything that can be known to be wrong is said before anything is on record.
import { fault } from "@aether/contract";
import type { NodeCapabilities } from "@aether/contract/gen/aether/v2/node_pb";
import { WorkloadPreflightSchema } from "@aether/contract/gen/aether/v2/preflight_pb";
import { type TargetScore, TargetScoreSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { toJson } from "@bufbuild/protobuf";
import type { Db } from "../db/database.ts";
import { fromColumn, fromColumnOrNone } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { leftRecently, openCircuits, type RailLimits } from "../guard/rails.ts";
import { readPastMoves } from "../guard/store.ts";
import { newId } from "../ids.ts";
import { hasSharedVolume, memoryOf, readNodeViews } from "./fleet-view.ts";
import { explainTarget, poolsUnderSignal } from "./plan.ts";
import type { Mode } from "./state.ts";
import { insertMigrations } from "./store.ts";
import { createTargets } from "./targets.ts";

export interface StartRequest {
  readonly workload: string;
  /** undefined: the planner picks. */
  readonly targetNodeId: string | undefined;
  readonly mode: Mode;
  readonly cause: string;
  readonly traceId: string;
  readonly drillId?: string;
  readonly deadlineAtMs?: number;
}

export interface StartParts {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: Pick<AgentSessions, "isConnected">;
  readonly limits: RailLimits;
  readonly nowMs: () => number;
}

/** Candidates that are kept with a move, beside those that cannot take it. */
const keptCandidates = 32;
/** A move begun by hand has this long until its freeze begins, copying included. */
const byHandMs = 60 * 60_000;

/**
 * Answers the id of the new move. Throws WORKLOAD_NOT_FOUND, WORKLOAD_NOT_RUNNING, NODE_NOT_FOUND, NODE_NOT_CONNECTED, MIGRATION_SAME_NODE,
 * MIGRATION_IN_PROGRESS (`details.migrationId`), NODE_LACKS_CAPABILITY, NO_TARGET (`details`: the reasons by node).
 */
export async function startMigration(parts: StartParts, request: StartRequest): Promise<string> {
  const { db, events, sessions, limits, nowMs } = parts;
  const { workload, placement } = await requirePlaced(db, request.workload);
  if (workload.migration_id !== null) throw inProgress(workload.name, workload.migration_id);
  if (workload.state !== "running") throw fault("WORKLOAD_NOT_RUNNING", `${workload.name} is ${workload.state}`, { field: "workload" });
  const source = placement.node_id;
  if (request.targetNodeId === source)
    throw fault("MIGRATION_SAME_NODE", `${workload.name} runs on ${source}`, { field: "target_node_id" });
  if (!sessions.isConnected(source)) throw fault("NODE_NOT_CONNECTED", `${source}, on which ${workload.name} runs, has no session`);

  const nodes = await readNodeViews(db, sessions.isConnected);
  if (request.targetNodeId !== undefined && !nodes.some((node) => node.id === request.targetNodeId)) {
    throw fault("NODE_NOT_FOUND", `there is no node ${JSON.stringify(request.targetNodeId)}`, { field: "target_node_id" });
  }
  const past = await readPastMoves(db, nowMs());
  const context = {
    poolsUnderSignal: poolsUnderSignal(nodes),
    openCircuits: new Set(openCircuits(past, limits, nowMs()).map((pair) => `${pair.sourceNodeId} ${pair.targetNodeId}`)),
    picksByPool: new Map<string, number>(),
  };
  const needs = fromColumnOrNone(WorkloadPreflightSchema, workload.preflight)?.needs;
  const need = {
    name: workload.name,
    nodeId: source,
    memoryBytes: memoryOf(workload.spec, workload.usage),
    needs,
    hasSharedVolume: hasSharedVolume(fromColumn(WorkloadSpecSchema, workload.spec)),
    leftRecently: leftRecently(past, nowMs()).get(workload.name) ?? new Set<string>(),
  };
  const from = nodes.find((node) => node.id === source);
  const { rated, unable } = createTargets(nodes).look(need, from, context);
  const wanted = request.targetNodeId;
  // Of a large fleet the best few and some of those that cannot, as in a decision, and the one that was asked for.
  const shown = new Set([...rated.slice(0, keptCandidates).map(({ node }) => node), ...nodes.filter(({ id }) => id === wanted), ...unable]);
  const scores = [...shown].map((node) => explainTarget(need, from, node, context));
  const chosen = wanted === undefined ? scores.find((score) => score.isEligible) : scores.find((score) => score.nodeId === wanted);
  if (chosen === undefined) throw noTarget(workload.name, source, scores);
  if (!chosen.isEligible) throw refusedTarget(workload.name, chosen, nodes.find((node) => node.id === chosen.nodeId)?.capabilities);

  const id = newId("mig", nowMs());
  const made = {
    id,
    workload: workload.name,
    sourceNodeId: source,
    targetNodeId: chosen.nodeId,
    requestedMode: request.mode,
    epochBefore: Number(placement.epoch),
    cause: request.cause,
    traceId: request.traceId,
    deadlineAtMs: request.deadlineAtMs ?? nowMs() + byHandMs,
    ...(request.drillId === undefined ? {} : { drillId: request.drillId }),
    plan: { candidates: scores.map((score) => toJson(TargetScoreSchema, score)) },
  };
  try {
    await db.transaction().execute((tx) => insertMigrations(tx, events, [made], nowMs()));
  } catch (caught) {
    if (!isUniqueViolation(caught, "migrations_one_active")) throw caught;
    const running = await db
      .selectFrom("migrations")
      .select("id")
      .where("workload", "=", workload.name)
      .where("ended_at", "is", null)
      .executeTakeFirst();
    throw inProgress(workload.name, running?.id ?? "");
  }
  return id;
}

/** The workload and where it runs. Throws WORKLOAD_NOT_FOUND, WORKLOAD_NOT_RUNNING. */
export async function requirePlaced(db: Db, name: string): Promise<{ workload: Row<"workloads">; placement: Row<"placements"> }> {
  const workload = await db.selectFrom("workloads").selectAll().where("name", "=", name).executeTakeFirst();
  if (workload === undefined) throw fault("WORKLOAD_NOT_FOUND", `there is no workload ${JSON.stringify(name)}`, { field: "workload" });
  const placement = await db
    .selectFrom("placements")
    .selectAll()
    .where("workload", "=", name)
    .where("is_active", "=", true)
    .executeTakeFirst();
  if (placement === undefined) throw fault("WORKLOAD_NOT_RUNNING", `${name} has no place: it is ${workload.state}`, { field: "workload" });
  return { workload, placement };
}

const inProgress = (workload: string, migrationId: string) =>
  fault("MIGRATION_IN_PROGRESS", `${workload} is being moved already, by ${migrationId}`, { field: "workload", details: { migrationId } });

function noTarget(workload: string, source: string, scores: readonly TargetScore[]) {
  const others = scores.filter((score) => score.nodeId !== source);
  const why =
    others.length === 0 ? "there is no other node" : others.map((score) => `${score.nodeId}: ${score.reasons.join(", ")}`).join("; ");
  return fault("NO_TARGET", `no node can take ${workload}: ${why}`, {
    details: Object.fromEntries(others.map((score) => [score.nodeId, score.reasons.join(", ")])),
  });
}

function refusedTarget(workload: string, score: TargetScore, capabilities: NodeCapabilities | undefined) {
  const message = `${score.nodeId} cannot take ${workload}: ${score.reasons.join(", ")}`;
  const options = { field: "target_node_id", details: { [score.nodeId]: score.reasons.join(", ") } };
  if (score.reasons.includes("not connected")) return fault("NODE_NOT_CONNECTED", message, options);
  if (capabilities?.criu?.available !== true) return fault("NODE_LACKS_CAPABILITY", message, options);
  return fault("NO_TARGET", message, options);
}
