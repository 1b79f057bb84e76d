// While a notice is in force, whatever still runs on the node and does not move is looked at again: a move that was rolled back gets another
// try, a workload that nobody could take moves when somebody can. Level-based, so also right after a restart.
import { Fault, isFaultCode } from "@aether/contract";
import type { Logger } from "@aether/kit";
import { z } from "zod";
import type { Db } from "../db/database.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { startMigration } from "../migration/start.ts";
import { freezeMarginMs } from "./take.ts";

export interface EvacuateParts {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: Pick<AgentSessions, "isConnected">;
  readonly nowMs: () => number;
  readonly log: Logger;
}

/** Moves of one workload for one decision. */
export const attemptsEach = 3;
/** The pause after a move that was rolled back. */
const pauseMs = 1_000;
/** A move that begins with less time than this would not reach its freeze. */
const leastTimeMs = freezeMarginMs + 5_000;

/** Another try cannot help where the workload itself, or a person, said no. */
const finalCodes: ReadonlySet<string> = new Set(["PREFLIGHT_REFUSED", "CANCELLED", "STALE_EPOCH"]);

const errorColumn = z.object({ code: z.string() }).nullable().catch(null);

/** Answers the ids of moves that were begun. */
export async function evacuateAgain(parts: EvacuateParts): Promise<string[]> {
  const { db, nowMs } = parts;
  const nodes = await db
    .selectFrom("nodes")
    .select(["id", "interruption_at"])
    .where("interruption_at", ">", new Date(nowMs() + leastTimeMs))
    .execute();
  const begun: string[] = [];
  for (const node of nodes) {
    const decision = await db
      .selectFrom("decisions")
      .select(["id", "trace_id"])
      .where("node_id", "=", node.id)
      .where("rule", "in", ["notice-evacuate", "notice-no-target"])
      .orderBy("id", "desc")
      .limit(1)
      .executeTakeFirst();
    if (decision === undefined || node.interruption_at === null) continue;
    const left = await db
      .selectFrom("placements")
      .innerJoin("workloads", "workloads.name", "placements.workload")
      .select("workloads.name")
      .where("placements.node_id", "=", node.id)
      .where("placements.is_active", "=", true)
      .where("workloads.state", "=", "running")
      .where("workloads.migration_id", "is", null)
      .execute();
    for (const { name } of left) {
      const id = await tryAgain(parts, {
        workload: name,
        decisionId: decision.id,
        traceId: decision.trace_id,
        deadlineAtMs: node.interruption_at.getTime() - freezeMarginMs,
      });
      if (id !== undefined) begun.push(id);
    }
  }
  return begun;
}

interface Again {
  readonly workload: string;
  readonly decisionId: string;
  readonly traceId: string;
  readonly deadlineAtMs: number;
}

async function tryAgain(parts: EvacuateParts, { workload, decisionId, traceId, deadlineAtMs }: Again): Promise<string | undefined> {
  const { db, nowMs, log } = parts;
  const cause = `decision/${decisionId}`;
  const before = await db
    .selectFrom("migrations")
    .select(["error", "ended_at", "drill_id"])
    .where("workload", "=", workload)
    .where("cause", "=", cause)
    .orderBy("id", "desc")
    .execute();
  const last = before[0];
  if (before.length >= attemptsEach || finalCodes.has(errorColumn.parse(last?.error ?? null)?.code ?? "")) return undefined;
  if (last?.ended_at && nowMs() - last.ended_at.getTime() < pauseMs * before.length) return undefined;
  try {
    const drillId = last?.drill_id;
    const id = await startMigration(parts, {
      workload,
      targetNodeId: undefined,
      mode: "auto",
      cause,
      traceId,
      deadlineAtMs,
      ...(drillId ? { drillId } : {}),
    });
    log.info({ workload, migration: id, decision: decisionId, attempt: before.length + 1 }, "decision.moved_again");
    return id;
  } catch (caught) {
    const problem = Fault.from(caught);
    if (!isFaultCode(problem.code) || problem.code === "INTERNAL") throw problem;
    log.debug({ workload, code: problem.code }, "decision.not_moved_again");
    return undefined;
  }
}
