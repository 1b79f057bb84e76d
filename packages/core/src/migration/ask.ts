// What a move, or a look at one, asks for; and the answer of the node that runs the workload, before anything is on record.
import { fault, isFaultCode, parseNodeId, parseWorkloadName } from "@aether/contract";
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { MigrationMode, type PreflightReport } from "@aether/contract/gen/aether/v2/migration_pb";
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { withDeadline } from "@aether/kit";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { newId } from "../ids.ts";
import { modeFromProto } from "./mode.ts";
import { readPairRates } from "./rates.ts";
import { requirePlaced } from "./start.ts";
import type { Mode } from "./state.ts";
import { steps } from "./steps/index.ts";
import { preflightOf } from "./steps/preflight.ts";

export interface Asked {
  readonly workload: string;
  readonly targetNodeId: string | undefined;
  readonly mode: Mode;
  /** Until the freeze must begin. */
  readonly withinMs: number | undefined;
}

export interface AskParts {
  readonly db: Db;
  readonly sessions: Pick<AgentSessions, "send">;
  readonly nowMs: () => number;
}

export function parseAsked(request: { workload: string; targetNodeId: string; mode: MigrationMode; withinSeconds: number }): Asked {
  if (request.withinSeconds > 86_400) throw fault("INVALID_ARGUMENT", "within_seconds must be 0 to 86400", { field: "within_seconds" });
  return {
    workload: parseWorkloadName(request.workload, "workload"),
    targetNodeId: request.targetNodeId === "" ? undefined : parseNodeId(request.targetNodeId, "target_node_id"),
    mode: parseMode(request.mode),
    withinMs: request.withinSeconds === 0 ? undefined : request.withinSeconds * 1000,
  };
}

/** A number that is none of the modes is refused, never taken for AUTO. */
function parseMode(mode: MigrationMode): Mode {
  const known = modeFromProto(mode);
  if (known !== undefined) return known;
  const names = Object.values(MigrationMode).filter((value) => typeof value === "string" && value !== "UNSPECIFIED");
  throw fault("INVALID_ARGUMENT", `mode must be one of ${names.join(", ")}, not ${mode}`, { field: "mode" });
}

/** Throws WORKLOAD_NOT_FOUND, WORKLOAD_NOT_RUNNING, NODE_NOT_FOUND, NODE_NOT_CONNECTED, and what the node answered. */
export async function askPreflight(parts: AskParts, asked: Asked, traceparent: string, signal: AbortSignal): Promise<PreflightReport> {
  const { db, sessions, nowMs } = parts;
  const { workload: name, targetNodeId, mode, withinMs } = asked;
  const { workload, placement } = await requirePlaced(db, name);
  const target = targetNodeId === undefined ? undefined : await readNode(db, targetNodeId);
  const rates = await readPairRates(db, name, placement.node_id, targetNodeId ?? "", nowMs());
  const command = {
    id: newId("cmd", nowMs()),
    workload: workload.name,
    epoch: BigInt(placement.epoch),
    traceparent,
    action: { case: "preflight" as const, value: preflightOf(mode, target?.capabilities, rates, withinMs) },
  };
  const result = await withDeadline(
    `the preflight of ${name} on ${placement.node_id}`,
    steps.preflight.deadlineMs,
    (deadline) => sessions.send(placement.node_id, command, deadline),
    signal,
  );
  if (result.outcome === CommandOutcome.OK && result.facts.case === "preflight") return result.facts.value;
  const code = result.error?.code ?? "";
  throw fault(isFaultCode(code) ? code : "UNAVAILABLE", result.error?.message ?? `${placement.node_id} did not answer the preflight`);
}

/**
 * A mode that is asked for by name and cannot be had is said at once: throws MODE_UNAVAILABLE with the next best one. What else stands in the way is for the
 * move's own preflight, which is on record.
 */
export async function requireMode(parts: AskParts, asked: Asked, traceparent: string, signal: AbortSignal): Promise<void> {
  if (asked.mode === "auto") return;
  const { workload } = await requirePlaced(parts.db, asked.workload);
  if (workload.state !== "running" || workload.migration_id !== null) return; // refused for that
  const { blockers } = await askPreflight(parts, asked, traceparent, signal);
  const blocker = blockers.find((each) => each.subject === "mode");
  if (blocker === undefined) return;
  throw fault("MODE_UNAVAILABLE", blocker.message, { field: "mode", hint: blocker.mend, details: { [blocker.code]: blocker.mend } });
}

async function readNode(db: Db, id: string) {
  const row = await db.selectFrom("nodes").select("facts").where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw fault("NODE_NOT_FOUND", `there is no node ${JSON.stringify(id)}`, { field: "target_node_id" });
  return fromColumn(NodeFactsSchema, row.facts);
}
