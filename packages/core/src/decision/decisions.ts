// Hears signals, decides at once, begins the moves, and answers for it later.
import { fault, parseNodeId } from "@aether/contract";
import { DecisionService } from "@aether/contract/gen/aether/v2/signal_pb";
import { faultpoint, type Logger } from "@aether/kit";
import type { Audit } from "../audit/audit.ts";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import type { RailLimits } from "../guard/rails.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import type { Reconciler } from "../migration/reconcile.ts";
import type { Part } from "../part.ts";
import type { Weigh } from "../risk/weigh.ts";
import { evacuateAgain } from "./evacuate.ts";
import type { DecisionPolicy } from "./input.ts";
import { toDecision } from "./store.ts";
import { type Taken, takeDecisions } from "./take.ts";

export interface DecisionsOptions {
  readonly db: Db;
  readonly events: Events;
  readonly audit: Pick<Audit, "record">;
  readonly sessions: AgentSessions;
  readonly reconciler: Pick<Reconciler, "wake">;
  readonly policy?: DecisionPolicy;
  readonly weigh?: Weigh;
  readonly limits: RailLimits;
  /** Rows of snapshots were made that somebody must carry out. */
  readonly onSnapshotsWanted?: () => void;
  readonly nowMs: () => number;
  readonly log: Logger;
  /** Default 1000. */
  readonly sweepMs?: number;
}

/** A signal that is still undecided after this long was missed, not just heard. */
const missedAfterMs = 2_000;

export function createDecisions(options: DecisionsOptions): Part & { stop(): Promise<void> } {
  const { db, events, audit, sessions, reconciler, limits, nowMs, log, policy = { onRebalance: "migrate" }, sweepMs = 1_000 } = options;
  const { weigh } = options;
  const parts = { db, events, audit, policy, limits, nowMs, isConnected: sessions.isConnected, ...(weigh === undefined ? {} : { weigh }) };
  const ends: (() => void)[] = [];
  /** What was heard and is not decided yet. Signals that come together are decided together: a wave is planned as one. */
  let waiting: Row<"signals">[] = [];
  let last: Promise<void> = Promise.resolve();
  let isTaking = false;
  const givenUp = new Set<string>();
  let isStopped = false;

  function take(...signals: Row<"signals">[]): void {
    waiting.push(...signals);
    if (isTaking || isStopped) return;
    isTaking = true;
    last = takeAll().finally(() => {
      isTaking = false;
    });
  }

  async function takeAll(): Promise<void> {
    while (waiting.length > 0 && !isStopped) {
      const batch = waiting;
      waiting = [];
      try {
        await carryOut(await takeDecisions(parts, batch));
      } catch (caught) {
        log.error({ err: caught, signals: batch.map(({ id }) => id) }, "decision.failed");
      }
    }
  }

  async function carryOut(taken: readonly Taken[]): Promise<void> {
    await faultpoint("core.decision.before_moves");
    for (const { decisionId, signalId, plan, migrationIds, snapshotIds } of taken) {
      for (const id of migrationIds) reconciler.wake(id);
      if (snapshotIds.length > 0) options.onSnapshotsWanted?.();
      log.info(
        { signal: signalId, decision: decisionId, rule: plan.rule, moves: migrationIds.length, snapshots: snapshotIds.length },
        "decision.taken",
      );
    }
  }

  async function sweep(receivedBefore: Date): Promise<void> {
    const missed = await db
      .selectFrom("signals")
      .selectAll()
      .where("decided_at", "is", null)
      .where("received_at", "<=", receivedBefore)
      .orderBy("received_at")
      .execute();
    if (missed.length > 0) take(...missed);
    await last;
    for (const id of await evacuateAgain({ db, events, audit, sessions, limits, nowMs, log, givenUp })) reconciler.wake(id);
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
      ends.push(sessions.onSignal((signal) => take(signal)));
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
