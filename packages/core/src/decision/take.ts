// From signals to decisions on record with their moves, in one transaction for the whole batch: a crash leaves either nothing, and the signals are
// found undecided at the next start, or all of it, and the moves are found planned. So a signal is decided once.
import { Fault } from "@aether/contract";
import { type DecisionMove, DecisionMoveSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { withDeadline } from "@aether/kit";
import { create } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import type { Audit } from "../audit/audit.ts";
import type { Db } from "../db/database.ts";
import type { Database, NewRow, Row } from "../db/schema.ts";
import { isDeadlock, isUniqueViolation } from "../db/statement-error.ts";
import { urgently } from "../db/turns.ts";
import type { Events, NewEvent } from "../events/events.ts";
import type { RailLimits } from "../guard/rails.ts";
import { newId } from "../ids.ts";
import { readNodeViews } from "../migration/fleet-view.ts";
import { insertMigrations, type NewMigration } from "../migration/store.ts";
import { freezeMarginMs } from "../migration/wave.ts";
import type { Weigh, Weighed } from "../risk/weigh.ts";
import { observedAtMs } from "../signals/store.ts";
import { decide } from "./decide.ts";
import type { DecisionPolicy, WorkloadView } from "./input.ts";
import type { DecisionPlan } from "./rules.ts";
import { planColumns } from "./store.ts";
import { readDecisionInput, readPlaced } from "./view.ts";

export interface TakeParts {
  readonly db: Db;
  readonly events: Events;
  readonly audit: Pick<Audit, "record">;
  readonly isConnected: (nodeId: string) => boolean;
  readonly policy: DecisionPolicy;
  /** Does a move pay? Asked for signals that force nothing; without it nothing is weighed. */
  readonly weigh?: Weigh;
  readonly limits: RailLimits;
  readonly nowMs: () => number;
}

export interface Taken {
  readonly signalId: string;
  readonly decisionId: string;
  readonly plan: DecisionPlan;
  /** Moves that were begun by it, in the order in which they are to go. */
  readonly migrationIds: readonly string[];
  /** Snapshots that are to be made because a move would not make it. */
  readonly snapshotIds: readonly string[];
}

/** Signals of one wave come within this time (92 % of interruptions of one type and zone do, within three minutes). */
const waveMs = 180_000;

/** Without those that were decided already. */
export async function takeDecisions(parts: TakeParts, signals: readonly Row<"signals">[]): Promise<Taken[]> {
  const weighed = await weighFirst(parts, signals);
  for (let attempt = 1; ; attempt++) {
    try {
      return await urgently(() => parts.db.transaction().execute((tx) => takeIn(tx, parts, signals, weighed)));
    } catch (caught) {
      // A person began a move of the same workload in this very moment: the next look sees it.
      if ((!isUniqueViolation(caught, "migrations_one_active") && !isDeadlock(caught)) || attempt === 3) throw Fault.from(caught);
    }
  }
}

/** Sums that take longer than this are not waited for. */
const weighMs = 1_000;
const nothingWeighed: ReadonlyMap<string, Weighed> = new Map();

/**
 * Before the transaction, and never in the way of it: what cannot be weighed, or not in time, moves as if nobody had asked, and a notice in the
 * same batch is answered whatever happens here. A notice itself is never weighed.
 */
async function weighFirst(
  { db, weigh, policy, isConnected, nowMs }: TakeParts,
  signals: readonly Row<"signals">[],
): Promise<ReadonlyMap<string, Weighed>> {
  const open = signals.filter(({ kind }) => kind === "risk" || (kind === "rebalance" && policy.onRebalance === "weigh"));
  if (weigh === undefined || open.length === 0) return nothingWeighed;
  const sums = async () => {
    const { byNode } = await readPlaced(db, [...new Set(open.map((signal) => signal.node_id))]);
    return weigh(db, { workloads: byNode, nodes: await readNodeViews(db, isConnected) }, nowMs());
  };
  return withDeadline("weighing", weighMs, sums).catch(() => nothingWeighed);
}

async function takeIn(
  tx: Kysely<Database>,
  parts: TakeParts,
  asked: readonly Row<"signals">[],
  weighed: ReadonlyMap<string, Weighed>,
): Promise<Taken[]> {
  const { events, audit, nowMs } = parts;
  const locked = await tx
    .selectFrom("signals")
    .select("id")
    .where(
      "id",
      "in",
      asked.map(({ id }) => id),
    )
    .where("decided_at", "is", null)
    .orderBy("id")
    .forUpdate()
    .execute();
  const undecided = new Set(locked.map(({ id }) => id));
  const signals = asked.filter(({ id }) => undecided.has(id));
  if (signals.length === 0) return [];
  const nodeIds = [...new Set(signals.map((signal) => signal.node_id))];
  const beganMs = nowMs();
  const { epochs, ...input } = await readDecisionInput(tx, { isConnected: parts.isConnected, limits: parts.limits, nodeIds }, beganMs);
  const views = signals.map((signal) => ({
    id: signal.id,
    kind: signal.kind,
    nodeId: signal.node_id,
    effectiveAtMs: signal.kind === "notice" ? signal.effective_at?.getTime() : undefined,
  }));
  const plans = decide({ ...input, signals: views, policy: parts.policy, weighed }, beganMs);
  const drills = await drillsOf(tx, nodeIds);
  const waveId = await waveOf(tx, signals, beganMs);

  const taken: Taken[] = [];
  const migrations: { made: NewMigration; startsAfterMs: number }[] = [];
  const snapshots: NewRow<"snapshots">[] = [];
  const rows: NewRow<"decisions">[] = [];
  const told: NewEvent[] = [];
  for (const signal of signals) {
    const drafted = plans.get(signal.id);
    if (drafted === undefined) continue;
    const decisionId = newId("dec", beganMs);
    const placed = new Map((input.workloads.get(signal.node_id) ?? []).map((each) => [each.name, each]));
    const begun = begin(signal, drafted, { decisionId, placed, epochs, drillId: drills.get(signal.node_id), nowMs: beganMs });
    migrations.push(...begun.migrations);
    const specs = begun.snapshots.length === 0 ? [] : await snapshotRows(tx, begun.snapshots, decisionId, epochs);
    snapshots.push(...specs);
    const plan = { ...drafted, moves: begun.moves };
    const ids = { migrationIds: begun.migrations.map(({ made }) => made.id), snapshotIds: begun.snapshots.map(({ id }) => id) };
    const atMs = nowMs();
    rows.push({
      id: decisionId,
      at: new Date(atMs),
      node_id: signal.node_id,
      signal_id: signal.id,
      ...planColumns(plan),
      latency_ms: atMs - signal.received_at.getTime(),
      since_observed_ms: atMs - observedAtMs(signal),
      trace_id: signal.trace_id,
      wave_id: signal.kind === "notice" ? (waveId ?? null) : null,
    });
    told.push({
      type: `decision.${plan.action}`,
      subject: `node/${signal.node_id}`,
      message: `${plan.rule}: ${plan.reason}`,
      data: { decisionId, signalId: signal.id, action: plan.action, rule: plan.rule, ...ids },
      traceId: signal.trace_id,
    });
    taken.push({ signalId: signal.id, decisionId, plan, ...ids });
  }
  migrations.sort((a, b) => a.startsAfterMs - b.startsAfterMs);
  await insertMigrations(
    tx,
    events,
    migrations.map(({ made }) => made),
    nowMs(),
  );
  if (snapshots.length > 0) await tx.insertInto("snapshots").values(snapshots).execute();
  await tx.insertInto("decisions").values(rows).execute();
  await tx
    .updateTable("signals")
    .set({ decided_at: new Date(nowMs()) })
    .where("id", "in", [...undecided])
    .execute();
  await events.append(tx, ...told);
  await record(audit, tx, taken, signals, waveId);
  return taken;
}

interface Begun {
  readonly moves: DecisionMove[];
  readonly migrations: { made: NewMigration; startsAfterMs: number }[];
  readonly snapshots: { id: string; workload: string; nodeId: string }[];
}

function begin(
  signal: Row<"signals">,
  plan: DecisionPlan,
  about: {
    readonly decisionId: string;
    readonly placed: ReadonlyMap<string, WorkloadView>;
    readonly epochs: ReadonlyMap<string, number>;
    readonly drillId: string | undefined;
    readonly nowMs: number;
  },
): Begun {
  const begun: Begun = { moves: [], migrations: [], snapshots: [] };
  for (const move of plan.moves) {
    const from = about.placed.get(move.workload);
    const epochBefore = about.epochs.get(move.workload);
    if (from === undefined || epochBefore === undefined || move.migrationId !== "") begun.moves.push(move);
    else if (move.action === "snapshot") {
      const id = newId("snap", about.nowMs);
      begun.snapshots.push({ id, workload: move.workload, nodeId: signal.node_id });
      begun.moves.push(create(DecisionMoveSchema, { ...move, snapshotId: id }));
    } else if (move.action === "move" && move.refusal === "") {
      const id = newId("mig", about.nowMs);
      const deadlineAtMs =
        signal.kind === "notice" && signal.effective_at !== null
          ? signal.effective_at.getTime() - freezeMarginMs(from.times.freezeMs)
          : undefined;
      begun.migrations.push({
        startsAfterMs: move.startsAfterMs,
        made: {
          id,
          workload: move.workload,
          sourceNodeId: signal.node_id,
          targetNodeId: move.targetNodeId,
          requestedMode: from.mode ?? "auto",
          epochBefore,
          cause: `decision/${about.decisionId}`,
          traceId: signal.trace_id,
          ...(about.drillId === undefined ? {} : { drillId: about.drillId }),
          ...(deadlineAtMs === undefined ? {} : { deadlineAtMs }),
          plan: {
            priority: move.priority,
            startsAfterMs: move.startsAfterMs,
          },
        },
      });
      begun.moves.push(create(DecisionMoveSchema, { ...move, migrationId: id }));
    } else begun.moves.push(move);
  }
  return begun;
}

async function snapshotRows(
  tx: Kysely<Database>,
  wanted: Begun["snapshots"],
  decisionId: string,
  epochs: ReadonlyMap<string, number>,
): Promise<NewRow<"snapshots">[]> {
  const names = wanted.map(({ workload }) => workload);
  const specs = new Map(
    (await tx.selectFrom("workloads").select(["name", "spec"]).where("name", "in", names).execute()).map((row) => [row.name, row.spec]),
  );
  return wanted.map(({ id, workload, nodeId }) => ({
    id,
    workload,
    spec: JSON.stringify(specs.get(workload) ?? {}),
    state: "creating",
    node_id: nodeId,
    epoch: epochs.get(workload) ?? 0,
    cause: `decision/${decisionId}`,
  }));
}

async function drillsOf(tx: Kysely<Database>, nodeIds: readonly string[]): Promise<Map<string, string>> {
  const rows = await tx
    .selectFrom("drills")
    .select(["id", "node_id"])
    .where("state", "=", "running")
    .where("node_id", "in", nodeIds)
    .execute();
  return new Map(rows.map((row) => [row.node_id, row.id]));
}

/** Notices that came together, or soon after another one, are one wave; undefined for a node alone. */
async function waveOf(tx: Kysely<Database>, signals: readonly Row<"signals">[], nowMs: number): Promise<string | undefined> {
  const notices = signals.filter(({ kind }) => kind === "notice");
  if (notices.length === 0) return undefined;
  const before = await tx
    .selectFrom("decisions")
    .innerJoin("signals", "signals.id", "decisions.signal_id")
    .select(["decisions.id", "decisions.wave_id"])
    .where("signals.kind", "=", "notice")
    .where("decisions.at", ">", new Date(nowMs - waveMs))
    .where(
      "decisions.node_id",
      "not in",
      notices.map((signal) => signal.node_id),
    )
    .orderBy("decisions.id", "desc")
    .limit(1)
    .executeTakeFirst();
  if (before !== undefined) return before.wave_id ?? before.id;
  return notices.length > 1 ? newId("dec", nowMs) : undefined;
}

/** One entry a decision; of a large wave one for all, because entries are chained and so written one after the other. */
async function record(
  audit: Pick<Audit, "record">,
  tx: Kysely<Database>,
  taken: readonly Taken[],
  signals: readonly Row<"signals">[],
  waveId: string | undefined,
): Promise<void> {
  const bySignal = new Map(signals.map((signal) => [signal.id, signal]));
  const entries = taken.map(({ signalId, decisionId, plan, migrationIds, snapshotIds }) => ({
    signal: bySignal.get(signalId),
    data: { decisionId, signalId, action: plan.action, rule: plan.rule, migrationIds: [...migrationIds], snapshotIds: [...snapshotIds] },
  }));
  if (entries.length > 10) {
    await audit.record(
      {
        actor: "core",
        action: "decision.wave",
        subject: `wave/${waveId ?? entries[0]?.data.decisionId}`,
        outcome: "ok",
        data: { decisions: entries.map(({ data }) => data) },
      },
      tx,
    );
    return;
  }
  for (const { signal, data } of entries) {
    await audit.record(
      {
        actor: "core",
        action: `decision.${data.action}`,
        subject: `node/${signal?.node_id}`,
        outcome: "ok",
        data,
        traceId: signal?.trace_id ?? "",
      },
      tx,
    );
  }
}
