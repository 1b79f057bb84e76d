// Who did what, also who was refused. Append-only (sql/0006) and hash-chained: each entry's hash covers its fields and the hash before it, and the
// head holds the newest, so a change, a removal, an insertion and a cut at the end are found by walking the chain. Whoever may rewrite
// the whole database may rewrite the whole chain: keep its last hash elsewhere too (`aether audit --verify` prints it, and compares with one).
// Calls of operators and admins are recorded by the interceptor; parts record only what the control plane does by itself.
import { createHash } from "node:crypto";
import { type AuditEntry, AuditEntrySchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create, type JsonValue } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CompiledQuery, type Kysely } from "kysely";
import type { Database, Row } from "../db/schema.ts";

export const outcomes = ["ok", "denied", "failed"] as const;

export interface NewAuditEntry {
  /** token/NAME, account/NAME, node/ID, drill-schedule/NAME, core, anonymous. */
  readonly actor: string;
  readonly sourceAddress?: string;
  /** workload.run, migration.start, access.denied … */
  readonly action: string;
  readonly subject: string;
  readonly outcome: (typeof outcomes)[number];
  readonly data?: { readonly [key: string]: JsonValue };
  readonly traceId?: string;
}

export interface AuditVerdict {
  readonly isIntact: boolean;
  readonly entryCount: number;
  /** The first entry that does not follow from the one before, or that is missing; 0 when none. */
  readonly brokenAtSequence: number;
  /** What is wrong there, in a sentence; empty when nothing is. */
  readonly reason: string;
  /** Of the last entry that follows. */
  readonly lastHash: string;
}

/** Each empty: any. */
export type AuditFilter = Partial<Readonly<Record<"actor" | "action" | "subject" | "outcome", string>>>;

/** A connection or a transaction. */
interface Target {
  executeQuery(query: CompiledQuery): Promise<{ readonly rows: readonly unknown[] }>;
}

export interface Audit {
  /** In a transaction of its own, or in the one that is given. */
  record(entry: NewAuditEntry, transaction?: Target): Promise<void>;
  /** Newest first; `before` 0: from the newest. Of what is named, only those. */
  list(options: { before: number; limit: number; only?: AuditFilter }): Promise<AuditEntry[]>;
  get(sequence: number): Promise<AuditEntry | undefined>;
  /** Walks the whole chain. `known`: a place that somebody noted earlier, elsewhere. */
  verify(known?: { readonly sequence: number; readonly hash: string }): Promise<AuditVerdict>;
}

const genesis = "0".repeat(64);
const pageSize = 500;

export function createAudit(db: Kysely<Database>, nowMs: () => number): Audit {
  const append = async (target: Target, entry: NewAuditEntry) => {
    // The row is locked until the end of the transaction: one writer of the chain at a time.
    const head = await target.executeQuery(CompiledQuery.raw("select sequence, hash from audit_head for update"));
    const last = head.rows[0] as Row<"audit_head"> | undefined;
    if (last === undefined) throw new Error("the audit has no head");
    const row = {
      sequence: Number(last.sequence) + 1,
      at_ms: Math.round(nowMs()),
      actor: entry.actor,
      source_address: entry.sourceAddress ?? "",
      action: entry.action,
      subject: entry.subject,
      outcome: entry.outcome,
      data: JSON.stringify(entry.data ?? {}),
      trace_id: entry.traceId ?? "",
      previous_hash: last.hash,
    };
    const whole = { ...row, hash: hashOf(row) };
    const columns = Object.keys(whole);
    const places = columns.map((_, i) => `$${i + 1}`);
    const insert = `insert into audit (${columns.join(", ")}) values (${places.join(", ")})`;
    await target.executeQuery(CompiledQuery.raw(insert, Object.values(whole)));
    await target.executeQuery(CompiledQuery.raw("update audit_head set sequence = $1, hash = $2", [whole.sequence, whole.hash]));
  };

  return {
    async record(entry, transaction) {
      if (transaction) await append(transaction, entry);
      else await db.transaction().execute((tx) => append(tx, entry));
    },
    async list({ before, limit, only = {} }) {
      let query = db.selectFrom("audit").selectAll().orderBy("sequence", "desc").limit(limit);
      if (before > 0) query = query.where("sequence", "<", before);
      for (const column of ["actor", "action", "subject"] as const) {
        const wanted = only[column] ?? "";
        if (wanted !== "") query = query.where(column, "=", wanted);
      }
      const outcome = outcomes.find((each) => each === only.outcome);
      if (outcome !== undefined) query = query.where("outcome", "=", outcome);
      return (await query.execute()).map(toEntry);
    },
    async get(sequence) {
      const row = await db.selectFrom("audit").selectAll().where("sequence", "=", sequence).executeTakeFirst();
      return row && toEntry(row);
    },
    async verify(known) {
      // The head first: what is appended during the walk comes after it.
      const head = await db.selectFrom("audit_head").selectAll().executeTakeFirst();
      let entryCount = 0;
      let lastHash = genesis;
      const broken = (brokenAtSequence: number, reason: string) => ({ isIntact: false, entryCount, brokenAtSequence, reason, lastHash });
      let headHash: string | undefined = genesis;
      for (;;) {
        const page = await db
          .selectFrom("audit")
          .selectAll()
          .where("sequence", ">", entryCount)
          .orderBy("sequence")
          .limit(pageSize)
          .execute();
        for (const row of page) {
          const expected = entryCount + 1;
          if (Number(row.sequence) !== expected) return broken(expected, `entry ${expected} is missing`);
          if (row.previous_hash !== lastHash) return broken(expected, `entry ${expected} does not follow entry ${entryCount}`);
          if (row.hash !== hashOf(row)) return broken(expected, `entry ${expected} was changed`);
          if (expected === known?.sequence && row.hash !== known.hash)
            return broken(expected, `entry ${expected} is not the one that was noted`);
          entryCount = expected;
          lastHash = row.hash;
          if (expected === Number(head?.sequence ?? 0)) headHash = row.hash;
        }
        if (page.length < pageSize) break;
      }
      if (head === undefined || Number(head.sequence) > entryCount)
        return broken(entryCount + 1, `entries after ${entryCount} were removed`);
      if (known !== undefined && known.sequence > entryCount)
        return broken(entryCount + 1, `entry ${known.sequence}, which was noted, does not exist`);
      if (headHash !== head.hash) return broken(Number(head.sequence), "the head does not fit the chain");
      return { isIntact: true, entryCount, brokenAtSequence: 0, reason: "", lastHash };
    },
  };
}

/** sha256 over a JSON list of the fields in a fixed order: a list has no ambiguity about where one field ends. */
function hashOf(row: Omit<Row<"audit">, "hash">): string {
  const fields = [
    Number(row.sequence),
    Number(row.at_ms),
    row.actor,
    row.source_address,
    row.action,
    row.subject,
    row.outcome,
    row.data,
    row.trace_id,
    row.previous_hash,
  ];
  return createHash("sha256").update(JSON.stringify(fields)).digest("hex");
}

function toEntry(row: Row<"audit">): AuditEntry {
  return create(AuditEntrySchema, {
    sequence: BigInt(row.sequence),
    at: timestampFromMs(Number(row.at_ms)),
    actor: row.actor,
    sourceAddress: row.source_address,
    action: row.action,
    subject: row.subject,
    outcome: row.outcome,
    dataJson: row.data,
    hash: row.hash,
    traceId: row.trace_id,
  });
}
