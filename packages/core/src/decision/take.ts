// From a signal to a decision on record with its moves, in one transaction: a crash leaves either nothing, and the signal is found undecided
// at the next start, or all of it, and the moves are found planned. So a signal is decided once.
import { Fault } from "@aether/contract";
import { DecisionMoveSchema, TargetScoreSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create, toJson } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import type { Audit } from "../audit/audit.ts";
import type { Db } from "../db/database.ts";
import type { Database, Row } from "../db/schema.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { Events } from "../events/events.ts";
import { newId } from "../ids.ts";
import { memoryOf, readNodeViews } from "../migration/fleet-view.ts";
import { insertMigration } from "../migration/store.ts";
import { observedAtMs } from "../signals/store.ts";
import { type DecisionPlan, type DecisionPolicy, decide, type WorkloadView } from "./decide.ts";
import { movesColumn } from "./store.ts";

export interface TakeParts {
  readonly db: Db;
  readonly events: Events;
  readonly audit: Pick<Audit, "record">;
  readonly isConnected: (nodeId: string) => boolean;
  readonly policy: DecisionPolicy;
  readonly nowMs: () => number;
}

export interface Taken {
  readonly decisionId: string;
  readonly plan: DecisionPlan;
  /** Moves that were begun by it. */
  readonly migrationIds: readonly string[];
}

/** No freeze begins later than this before the node is gone. */
export const freezeMarginMs = 5_000;

/** Undefined: it was decided already. */
export async function takeDecision(parts: TakeParts, signal: Row<"signals">): Promise<Taken | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await parts.db.transaction().execute((tx) => takeIn(tx, parts, signal));
    } catch (caught) {
      // A person began a move of the same workload in this very moment: the next look sees it.
      if (!isUniqueViolation(caught, "migrations_one_active") || attempt === 3) throw Fault.from(caught);
    }
  }
}

async function takeIn(tx: Kysely<Database>, parts: TakeParts, signal: Row<"signals">): Promise<Taken | undefined> {
  const { events, audit, nowMs } = parts;
  const undecided = await tx
    .selectFrom("signals")
    .select("id")
    .where("id", "=", signal.id)
    .where("decided_at", "is", null)
    .forUpdate()
    .executeTakeFirst();
  if (undecided === undefined) return undefined;
  const placed = await readPlaced(tx, signal.node_id);
  const effectiveAtMs = signal.effective_at?.getTime();
  const drafted = decide(
    {
      signal: { kind: signal.kind, nodeId: signal.node_id, effectiveAtMs: signal.kind === "notice" ? effectiveAtMs : undefined },
      workloads: placed.map((each) => each.view),
      nodes: await readNodeViews(tx, parts.isConnected),
      policy: parts.policy,
    },
    nowMs(),
  );
  const drill = await tx
    .selectFrom("drills")
    .select("id")
    .where("node_id", "=", signal.node_id)
    .where("state", "=", "running")
    .executeTakeFirst();
  const decisionId = newId("dec", nowMs());
  const migrationIds: string[] = [];
  const moves: DecisionPlan["moves"][number][] = [];
  for (const move of drafted.moves) {
    const from = placed.find((each) => each.view.name === move.workload);
    if (drafted.action !== "migrate" || move.refusal !== "" || move.migrationId !== "" || from === undefined) {
      moves.push(move);
      continue;
    }
    const id = newId("mig", nowMs());
    await insertMigration(
      tx,
      events,
      {
        id,
        workload: move.workload,
        sourceNodeId: signal.node_id,
        targetNodeId: move.targetNodeId,
        requestedMode: "auto",
        epochBefore: from.epoch,
        cause: `decision/${decisionId}`,
        traceId: signal.trace_id,
        ...(drill === undefined ? {} : { drillId: drill.id }),
        ...(effectiveAtMs === undefined || signal.kind !== "notice" ? {} : { deadlineAtMs: effectiveAtMs - freezeMarginMs }),
        plan: { candidates: move.candidates.map((score) => toJson(TargetScoreSchema, score)) },
      },
      nowMs(),
    );
    migrationIds.push(id);
    moves.push(create(DecisionMoveSchema, { ...move, migrationId: id }));
  }
  const plan = { ...drafted, moves };
  const atMs = nowMs();
  await tx
    .insertInto("decisions")
    .values({
      id: decisionId,
      at: new Date(atMs),
      node_id: signal.node_id,
      signal_id: signal.id,
      action: plan.action,
      rule: plan.rule,
      reason: plan.reason,
      moves: movesColumn(plan.moves),
      latency_ms: atMs - signal.received_at.getTime(),
      since_observed_ms: atMs - observedAtMs(signal),
      trace_id: signal.trace_id,
    })
    .execute();
  await tx
    .updateTable("signals")
    .set({ decided_at: new Date(atMs) })
    .where("id", "=", signal.id)
    .execute();
  const data = { decisionId, signalId: signal.id, action: plan.action, rule: plan.rule, migrationIds };
  await events.append(tx, {
    type: `decision.${plan.action}`,
    subject: `node/${signal.node_id}`,
    message: `${plan.rule}: ${plan.reason}`,
    data,
    traceId: signal.trace_id,
  });
  await audit.record(
    { actor: "core", action: `decision.${plan.action}`, subject: `node/${signal.node_id}`, outcome: "ok", data, traceId: signal.trace_id },
    tx,
  );
  return { decisionId, plan, migrationIds };
}

async function readPlaced(tx: Kysely<Database>, nodeId: string): Promise<{ view: WorkloadView; epoch: number }[]> {
  const rows = await tx
    .selectFrom("placements")
    .innerJoin("workloads", "workloads.name", "placements.workload")
    .leftJoin("migrations", "migrations.id", "workloads.migration_id")
    .select([
      "workloads.name",
      "workloads.state",
      "workloads.spec",
      "workloads.usage",
      "placements.epoch",
      "migrations.id as migration_id",
      "migrations.target_node_id",
    ])
    .where("placements.node_id", "=", nodeId)
    .where("placements.is_active", "=", true)
    .where("workloads.state", "not in", ["stopped", "exited", "failed"])
    .orderBy("workloads.name")
    .execute();
  return rows.map((row) => ({
    epoch: Number(row.epoch),
    view: {
      name: row.name,
      state: row.state,
      memoryBytes: memoryOf(row.spec, row.usage),
      migration:
        row.migration_id === null || row.target_node_id === null ? undefined : { id: row.migration_id, targetNodeId: row.target_node_id },
    },
  }));
}
