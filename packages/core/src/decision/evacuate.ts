// While a notice is in force, whatever still runs on the node and does not move is looked at again: a move that was rolled back gets another
// try, a workload that nobody could take moves when somebody can, and so does everything once paused moves are resumed. Level-based, so also
// right after a restart. What is not tried again is decided too, once, and kept with its reason.
import { Fault, isFaultCode } from "@aether/contract";
import type { Logger } from "@aether/kit";
import { z } from "zod";
import type { Audit } from "../audit/audit.ts";
import type { Db } from "../db/database.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import type { RailLimits } from "../guard/rails.ts";
import { readGuards } from "../guard/store.ts";
import { newId } from "../ids.ts";
import { startMigration } from "../migration/start.ts";
import type { Mode } from "../migration/state.ts";
import { freezeMarginMs, lateMs, type MoveTimes } from "../migration/wave.ts";
import { recordOwnDecision } from "./own.ts";
import { type Rule, ruleVersion } from "./rules.ts";
import { readPlaced } from "./view.ts";

export interface EvacuateParts {
  readonly db: Db;
  readonly events: Events;
  readonly audit: Pick<Audit, "record">;
  readonly sessions: Pick<AgentSessions, "isConnected">;
  readonly limits: RailLimits;
  readonly nowMs: () => number;
  readonly log: Logger;
  /** What was given up in this process's life, so that the rows are not asked each time. */
  readonly givenUp: Set<string>;
}

/** Moves of one workload for one notice. */
export const attemptsEach = 3;
/** The pause after a move that was rolled back. */
const pauseMs = 1_000;

/** The rule of decisions by which a workload is not moved again. */
const givenUpRule: Rule = "notice-given-up";

/** Another try cannot help where the workload itself, or a person, said no. */
const finalCodes: ReadonlySet<string> = new Set(["PREFLIGHT_REFUSED", "CANCELLED", "STALE_EPOCH"]);

const errorColumn = z.object({ code: z.string() }).nullable().catch(null);

/** Answers the ids of moves that were begun. */
export async function evacuateAgain(parts: EvacuateParts): Promise<string[]> {
  const { db, nowMs } = parts;
  const nodes = await db
    .selectFrom("nodes")
    .select(["id", "interruption_at"])
    .where("interruption_at", ">", new Date(nowMs() + lateMs))
    .execute();
  if (nodes.length === 0 || (await readGuards(db)).isPaused) return [];
  const decisions = await db
    .selectFrom("decisions")
    .innerJoin("signals", "signals.id", "decisions.signal_id")
    .distinctOn("decisions.node_id")
    .select(["decisions.id", "decisions.node_id", "decisions.trace_id"])
    .where("signals.kind", "=", "notice")
    .where(
      "decisions.node_id",
      "in",
      nodes.map(({ id }) => id),
    )
    .orderBy("decisions.node_id")
    .orderBy("decisions.id", "desc")
    .execute();
  const byNode = new Map(decisions.map((decision) => [decision.node_id, decision]));
  const { byNode: workloads } = await readPlaced(db, [...byNode.keys()]);
  const begun: string[] = [];
  for (const node of nodes) {
    const decision = byNode.get(node.id);
    if (decision === undefined || node.interruption_at === null) continue;
    for (const each of workloads.get(node.id) ?? []) {
      if (each.state !== "running" || each.migration !== undefined) continue;
      const again = {
        workload: each.name,
        nodeId: node.id,
        times: each.times,
        mode: each.mode ?? "auto",
        decisionId: decision.id,
        traceId: decision.trace_id,
        goneAtMs: node.interruption_at.getTime(),
      };
      const id = await tryAgain(parts, again);
      if (id !== undefined) begun.push(id);
    }
  }
  return begun;
}

interface Again {
  readonly workload: string;
  readonly nodeId: string;
  readonly times: MoveTimes;
  readonly mode: Mode;
  readonly decisionId: string;
  readonly traceId: string;
  readonly goneAtMs: number;
}

async function tryAgain(parts: EvacuateParts, again: Again): Promise<string | undefined> {
  const { db, events, nowMs, log } = parts;
  const { workload, times, mode, decisionId, traceId, goneAtMs } = again;
  // Less than this is not enough even when all goes well; a first guess of the time may be three times too long, so a third of it is enough to try.
  const leftMs = goneAtMs - nowMs();
  const isTooLate = leftMs < lateMs + times.timeToSafeMs / 3;
  if (isTooLate && parts.givenUp.has(keyOf(again))) return undefined;
  const cause = `decision/${decisionId}`;
  const before = await db
    .selectFrom("migrations")
    .select(["error", "ended_at", "drill_id", "requested_mode"])
    .where("workload", "=", workload)
    .where("cause", "=", cause)
    .orderBy("id", "desc")
    .execute();
  const last = before[0];
  const code = errorColumn.parse(last?.error ?? null)?.code ?? "";
  if (isTooLate) {
    // Where nothing was tried, the first decision has said why.
    if (last !== undefined)
      return giveUp(
        parts,
        again,
        `${seconds(leftMs)} are left, and its move takes some ${seconds(times.timeToSafeMs)}; the last one ended with ${code}`,
      );
    parts.givenUp.add(keyOf(again));
    return undefined;
  }
  // A mode that a policy wishes for must not cost the workload: where it cannot be had, any other will do.
  const isModeRefused = code === "PREFLIGHT_REFUSED" && last !== undefined && last.requested_mode !== "auto";
  if (before.length >= attemptsEach) return giveUp(parts, again, `${before.length} moves of it were rolled back, the last for ${code}`);
  if (finalCodes.has(code) && !isModeRefused) return giveUp(parts, again, `its move ended with ${code}, which another try does not mend`);
  if (last?.ended_at && nowMs() - last.ended_at.getTime() < Math.min(pauseMs * before.length, (goneAtMs - nowMs()) / 10)) return undefined;
  try {
    const drillId = last?.drill_id;
    const id = await startMigration(parts, {
      workload,
      targetNodeId: undefined,
      // Of a wish that was tried once already nothing is known but that it failed.
      mode: last === undefined ? mode : "auto",
      cause,
      traceId,
      deadlineAtMs: goneAtMs - freezeMarginMs(times.freezeMs),
      ...(drillId ? { drillId } : {}),
    });
    await events.append(db, {
      type: "decision.moved_again",
      subject: `workload/${workload}`,
      message: `${workload} is moved again (${before.length + 1} of ${attemptsEach}): the notice is still in force, ${Math.round((goneAtMs - nowMs()) / 1000)} s are left`,
      data: { decisionId, migrationId: id, attempt: before.length + 1 },
      traceId,
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

/** On record once for each notice and workload; it is looked at again all the same, e.g. when a person has changed something. */
async function giveUp({ db, audit, events, nowMs, givenUp, log }: EvacuateParts, again: Again, why: string): Promise<undefined> {
  const { workload, nodeId, decisionId, traceId, goneAtMs } = again;
  if (givenUp.has(keyOf(again))) return undefined;
  const first = { name: "decided first by", value: decisionId };
  await db.transaction().execute(async (tx) => {
    const known = await tx
      .selectFrom("decisions")
      .select("id")
      .where("node_id", "=", nodeId)
      .where("rule", "=", givenUpRule)
      .where("inputs", "@>", JSON.stringify([first]))
      .where("moves", "@>", JSON.stringify([{ workload }]))
      .executeTakeFirst();
    if (known !== undefined) return;
    const reason = `${workload} is not moved again from ${nodeId}: ${why}`;
    const own = {
      id: newId("dec", nowMs()),
      nodeId,
      traceId,
      action: "hold",
      rule: givenUpRule,
      ruleVersion,
      reason,
      inputs: [{ name: "signal", value: "notice" }, { name: "time left", value: seconds(goneAtMs - nowMs()) }, first],
      alternatives: [`move it by hand: aether migrate ${workload}`, `keep its state: aether checkpoint ${workload}`],
      moves: [{ workload, action: "stay", refusal: why }],
    } as const;
    await recordOwnDecision(tx, audit, own, nowMs());
    await events.append(tx, {
      type: "decision.hold",
      subject: `node/${nodeId}`,
      message: `${givenUpRule}: ${reason}`,
      data: { decisionId: own.id, action: own.action, rule: own.rule, workload },
      traceId,
    });
    log.warn({ workload, node: nodeId, decision: own.id, why }, "decision.given_up");
  });
  givenUp.add(keyOf(again));
  return undefined;
}

const keyOf = ({ decisionId, workload }: Again): string => `${decisionId} ${workload}`;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
