// Hears signals, decides at once, begins the moves, and answers for it later.
import { fault, parseNodeId } from "@aether/contract";
import { DecisionService } from "@aether/contract/gen/aether/v2/signal_pb";
import { faultpoint, type Logger } from "@aether/kit";
import type { Audit } from "../audit/audit.ts";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import type { Reconciler } from "../migration/reconcile.ts";
import type { Part } from "../part.ts";
import type { DecisionPolicy } from "./decide.ts";
import { evacuateAgain } from "./evacuate.ts";
import { toDecision } from "./store.ts";
import { takeDecision } from "./take.ts";

export interface DecisionsOptions {
  readonly db: Db;
  readonly events: Events;
  readonly audit: Pick<Audit, "record">;
  readonly sessions: AgentSessions;
  readonly reconciler: Pick<Reconciler, "wake">;
  readonly policy?: DecisionPolicy;
  readonly nowMs: () => number;
  readonly log: Logger;
  /** Default 1000. */
  readonly sweepMs?: number;
}

/** A signal that is still undecided after this long was missed, not just heard. */
const missedAfterMs = 2_000;

export function createDecisions(options: DecisionsOptions): Part & { stop(): Promise<void> } {
  const { db, events, audit, sessions, reconciler, nowMs, log, policy = { onRebalance: "migrate" }, sweepMs = 1_000 } = options;
  const parts = { db, events, audit, policy, nowMs, isConnected: sessions.isConnected };
  const ends: (() => void)[] = [];
  /** One after the other: two signals of one node must not plan past each other. */
  let last: Promise<void> = Promise.resolve();
  let isStopped = false;

  function take(signal: Row<"signals">): void {
    last = last.then(async () => {
      if (isStopped) return;
      try {
        const taken = await takeDecision(parts, signal);
        await faultpoint("core.decision.before_moves");
        for (const id of taken?.migrationIds ?? []) reconciler.wake(id);
        if (taken)
          log.info(
            {
              signal: signal.id,
              node: signal.node_id,
              decision: taken.decisionId,
              rule: taken.plan.rule,
              moves: taken.migrationIds.length,
            },
            "decision.taken",
          );
      } catch (caught) {
        log.error({ err: caught, signal: signal.id }, "decision.failed");
      }
    });
  }

  async function sweep(receivedBefore: Date): Promise<void> {
    const missed = await db
      .selectFrom("signals")
      .selectAll()
      .where("decided_at", "is", null)
      .where("received_at", "<=", receivedBefore)
      .orderBy("received_at")
      .execute();
    for (const signal of missed) take(signal);
    await last;
    for (const id of await evacuateAgain({ db, events, sessions, nowMs, log })) reconciler.wake(id);
  }

  return {
    routes(router) {
      router.service(DecisionService, {
        async listDecisions({ page, nodeId }) {
          const { limit, after } = parsePage(page);
          let query = db
            .selectFrom("decisions")
            .selectAll()
            .orderBy("id", "desc")
            .limit(limit + 1);
          if (after !== undefined) query = query.where("id", "<", after);
          if (nodeId !== "") query = query.where("node_id", "=", parseNodeId(nodeId, "node_id"));
          const { rows, nextPageToken } = cutPage(await query.execute(), limit, (row) => row.id);
          return { decisions: rows.map(toDecision), nextPageToken };
        },
        async getDecision({ id }) {
          const row = await db.selectFrom("decisions").selectAll().where("id", "=", id).executeTakeFirst();
          if (row === undefined)
            throw fault("DECISION_NOT_FOUND", `there is no decision ${JSON.stringify(id.slice(0, 60))}`, { field: "id" });
          return { decision: toDecision(row) };
        },
      });
    },
    async start() {
      ends.push(sessions.onSignal(take));
      await sweep(new Date(nowMs()));
      let isSweeping = false;
      const timer = setInterval(() => {
        if (isSweeping) return;
        isSweeping = true;
        sweep(new Date(nowMs() - missedAfterMs))
          .catch((caught: unknown) => {
            if (!isStopped) log.error({ err: caught }, "decision.sweep.failed");
          })
          .finally(() => {
            isSweeping = false;
          });
      }, sweepMs);
      ends.push(() => clearInterval(timer));
    },
    async stop() {
      isStopped = true;
      for (const end of ends.splice(0)) end();
      await last;
    },
  };
}
