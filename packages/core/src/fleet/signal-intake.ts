// Signals of agents: stored once by (node, sequence), then told, then acknowledged. A spool may send one again; that changes nothing.

import { fault } from "@aether/contract";
import type { SignalReport } from "@aether/contract/gen/aether/v2/agent_pb";
import { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import { type Kysely, sql } from "kysely";
import type { Db } from "../db/database.ts";
import { createGroup } from "../db/group.ts";
import { dateOf } from "../db/proto.ts";
import type { Database, NewRow, Row } from "../db/schema.ts";
import type { SignalKindText } from "../db/tables/moves.ts";
import { urgently } from "../db/turns.ts";
import type { Events } from "../events/events.ts";
import { continueTrace } from "../http/trace.ts";
import { newId } from "../ids.ts";

const kinds: Partial<Record<SignalKind, SignalKindText>> = {
  [SignalKind.NOTICE]: "notice",
  [SignalKind.REBALANCE]: "rebalance",
  [SignalKind.WITHDRAWN]: "withdrawn",
};

const sentence: Readonly<Record<SignalKindText, (node: string, action: string) => string>> = {
  notice: (node, action) => `${node} is announced to be interrupted${action === "" ? "" : ` (${action})`}`,
  rebalance: (node) => `${node} is at an elevated risk of interruption`,
  withdrawn: (node) => `the announcement for ${node} is withdrawn`,
  node_lost: (node) => `${node} is not heard any more`,
  risk: (node, level) => `the risk of ${node} is ${level}`,
};

export interface SignalIntake {
  /** The stored row, or undefined when it was on record already. Throws INVALID_ARGUMENT for a kind that an agent may not report. */
  take(nodeId: string, report: SignalReport, clockOffsetMs: number | undefined): Promise<Row<"signals"> | undefined>;
  /** What somebody outside of the node heard. Once for each node, kind, source and time. Throws INVALID_ARGUMENT for a kind that cannot be heard. */
  ingest(heard: HeardOutside & { readonly nodeId: string }): Promise<{ readonly row: Row<"signals">; readonly isDuplicate: boolean }>;
  /** The same for many nodes at once. Answers the rows of those that had not heard it. */
  ingestForAll(nodeIds: readonly string[], heard: HeardOutside): Promise<Row<"signals">[]>;
  /** The control plane itself found that these nodes are not heard. */
  nodesLost(tx: Kysely<Database>, nodes: readonly { readonly nodeId: string; readonly observedAt: Date }[]): Promise<Row<"signals">[]>;
  /** The control plane's own assessment leads to a decision. */
  riskFound(nodeId: string, found: RiskFound): Promise<Row<"signals">>;
}

export interface RiskFound {
  /** low | elevated | critical: the signal's action. */
  readonly level: string;
  /** Would a move pay? Else it is decided, and kept, that it does not. */
  readonly isPaying: boolean;
  readonly reason: string;
}

export interface HeardOutside {
  readonly kind: SignalKind;
  readonly observedAt: Date;
  readonly effectiveAt: Date | undefined;
  readonly action: string;
  readonly source: string;
  readonly traceId: string;
}

/** AWS announces two minutes ahead; a notice that names no time is taken as that. */
const defaultNoticeMs = 120_000;

export function createSignalIntake(db: Db, events: Events, nowMs: () => number): SignalIntake {
  type Heard = Omit<NewRow<"signals">, "id" | "effective_at"> & { readonly effective_at: Date | null };

  /** The rows of those that were not on record, with what they mean for their nodes, and told. */
  async function keepAll(tx: Kysely<Database>, signals: readonly Heard[]): Promise<Row<"signals">[]> {
    const rows = await tx
      .insertInto("signals")
      .values(signals.map((signal) => ({ id: newId("sig", nowMs()), ...signal })))
      .onConflict((conflict) => conflict.columns(["node_id", "sequence"]).doNothing())
      .returningAll()
      .execute();
    // A recommendation that is withdrawn says nothing about a notice: the action names what is.
    const changes = rows
      .filter(({ kind, action }) => kind === "notice" || (kind === "withdrawn" && action !== "rebalance"))
      .map(({ node_id, kind, effective_at }) => ({
        id: node_id,
        at: kind === "notice" ? (effective_at ?? new Date(nowMs() + defaultNoticeMs)).toISOString() : null,
      }));
    if (changes.length > 0) {
      await sql`update nodes set interruption_at = change.at
        from jsonb_to_recordset(${JSON.stringify(changes)}::jsonb) as change(id text, at timestamptz) where nodes.id = change.id`.execute(
        tx,
      );
    }
    await events.append(
      tx,
      ...rows.map((row) => ({
        type: `signal.${row.kind}`,
        subject: `node/${row.node_id}`,
        message: sentence[row.kind](row.node_id, row.action),
        data: { signalId: row.id, effectiveAt: row.effective_at?.toISOString() ?? null, source: row.source },
        traceId: row.trace_id,
      })),
    );
    return rows;
  }

  /** AWS takes a pool at a time: hundreds of agents may report within the same second. */
  const keepTogether = createGroup(async (signals: readonly Heard[]) => {
    const rows = await urgently(() => db.transaction().execute((tx) => keepAll(tx, signals)));
    const byKey = new Map(rows.map((row) => [`${row.node_id} ${row.sequence}`, row]));
    return signals.map((signal) => {
      const key = `${signal.node_id} ${signal.sequence}`;
      const row = byKey.get(key);
      byKey.delete(key);
      return row;
    });
  });

  async function ingestAll(nodeIds: readonly string[], { kind: asked, observedAt, effectiveAt, action, source, traceId }: HeardOutside) {
    const kind = kinds[asked];
    if (kind === undefined) throw fault("INVALID_ARGUMENT", "kind must be notice, rebalance or withdrawn", { field: "kind" });
    return db.transaction().execute(async (tx) => {
      const known = await tx
        .selectFrom("signals")
        .selectAll()
        .where("node_id", "in", nodeIds)
        .where("kind", "=", kind)
        .where("source", "=", source)
        .where("observed_at", "=", observedAt)
        .execute();
      const have = new Set(known.map((row) => row.node_id));
      const open = nodeIds.filter((id) => !have.has(id));
      const common = { sequence: null, kind, action, source, trace_id: traceId, clock_offset_ms: null };
      const times = { observed_at: observedAt, received_at: new Date(nowMs()), effective_at: effectiveAt ?? null };
      const made =
        open.length === 0
          ? []
          : await keepAll(
              tx,
              open.map((id) => ({ node_id: id, ...common, ...times })),
            );
      return { known, made };
    });
  }

  return {
    async take(nodeId, report, clockOffsetMs) {
      const kind = kinds[report.kind];
      if (kind === undefined)
        throw fault("INVALID_ARGUMENT", `an agent cannot report a signal of kind ${report.kind}`, { field: "signal.kind" });
      const nowDate = new Date(nowMs());
      const observedAt = dateOf(report.observedAt) ?? nowDate;
      const effectiveAt = dateOf(report.effectiveAt) ?? null;
      const { traceId } = continueTrace(report.traceparent);
      return keepTogether({
        node_id: nodeId,
        sequence: Number(report.sequence),
        kind,
        observed_at: observedAt,
        received_at: nowDate,
        effective_at: effectiveAt,
        action: report.action.slice(0, 100),
        source: report.source.slice(0, 100) || "imds",
        trace_id: traceId,
        clock_offset_ms: clockOffsetMs ?? null,
      });
    },
    async ingest({ nodeId, ...heard }) {
      const { known, made } = await ingestAll([nodeId], heard);
      const row = made[0] ?? known[0];
      if (row === undefined) throw new Error("a signal without a sequence has no twin");
      return { row, isDuplicate: made.length === 0 };
    },
    ingestForAll: async (nodeIds, heard) => (nodeIds.length === 0 ? [] : (await ingestAll(nodeIds, heard)).made),
    async riskFound(nodeId, { level, isPaying, reason }) {
      const { traceId } = continueTrace(undefined);
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .insertInto("signals")
          .values({
            id: newId("sig", nowMs()),
            node_id: nodeId,
            kind: "risk",
            observed_at: new Date(nowMs()),
            received_at: new Date(nowMs()),
            action: level,
            source: "risk",
            trace_id: traceId,
          })
          .returningAll()
          .executeTakeFirstOrThrow();
        await events.append(tx, {
          type: "signal.risk",
          subject: `node/${nodeId}`,
          message: `${isPaying ? `a move away from ${nodeId} is expected to pay` : `${sentence.risk(nodeId, level)}, and a move does not pay`}: ${reason}`,
          data: { signalId: row.id },
          traceId,
        });
        return row;
      });
    },
    async nodesLost(tx, nodes) {
      const rows = await tx
        .insertInto("signals")
        .values(
          nodes.map(({ nodeId, observedAt }) => ({
            id: newId("sig", nowMs()),
            node_id: nodeId,
            kind: "node_lost" as const,
            observed_at: observedAt,
            source: "heartbeat",
            trace_id: continueTrace(undefined).traceId,
          })),
        )
        .returningAll()
        .execute();
      await events.append(
        tx,
        ...rows.map((row) => ({
          type: "node.lost",
          subject: `node/${row.node_id}`,
          message: sentence.node_lost(row.node_id, ""),
          data: { signalId: row.id, seenAt: row.observed_at.toISOString() },
          traceId: row.trace_id,
        })),
      );
      return rows;
    },
  };
}
