// Who did what, also who was refused. Append-only and hash-chained: each entry's hash covers its fields and the hash before it, so a
// change, a removal or an insertion in the middle is found by walking the chain. Removing the newest entries is not: keep the last hash elsewhere.
// Calls of operators and admins are recorded by the interceptor; parts record only what the control plane does by itself.
import { createHash } from "node:crypto";
import { type AuditEntry, AuditEntrySchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create, type JsonValue } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Kysely, sql } from "kysely";
import type { Database, Row } from "../db/schema.ts";

export interface NewAuditEntry {
  /** token/NAME, node/ID, core, anonymous. */
  readonly actor: string;
  readonly sourceAddress?: string;
  /** workload.run, migration.start, access.denied … */
  readonly action: string;
  readonly subject: string;
  readonly outcome: "ok" | "denied" | "failed";
  readonly data?: { readonly [key: string]: JsonValue };
  readonly traceId?: string;
}

export interface AuditVerdict {
  readonly isIntact: boolean;
  readonly entryCount: number;
  /** The first entry that does not follow from the one before; 0 when none. */
  readonly brokenAtSequence: number;
}

export interface Audit {
  /** In a transaction of its own, or in the one that is given. */
  record(entry: NewAuditEntry, transaction?: Kysely<Database>): Promise<void>;
  /** Newest first; `before` 0: from the newest. */
  list(options: { before: number; limit: number }): Promise<AuditEntry[]>;
  /** Walks the whole chain. */
  verify(): Promise<AuditVerdict>;
}

const genesis = "0".repeat(64);
/** Any number, the same in every process: one writer of the chain at a time. */
const chainLock = 4_150_001;

export function createAudit(db: Kysely<Database>, nowMs: () => number): Audit {
  const append = async (tx: Kysely<Database>, entry: NewAuditEntry) => {
    await sql`select pg_advisory_xact_lock(${chainLock}::bigint)`.execute(tx);
    const last = await tx.selectFrom("audit").select(["sequence", "hash"]).orderBy("sequence", "desc").limit(1).executeTakeFirst();
    const row = {
      sequence: Number(last?.sequence ?? 0) + 1,
      at_ms: Math.round(nowMs()),
      actor: entry.actor,
      source_address: entry.sourceAddress ?? "",
      action: entry.action,
      subject: entry.subject,
      outcome: entry.outcome,
      data: JSON.stringify(entry.data ?? {}),
      trace_id: entry.traceId ?? "",
      previous_hash: last?.hash ?? genesis,
    };
    await tx
      .insertInto("audit")
      .values({ ...row, hash: hashOf(row) })
      .execute();
  };

  return {
    async record(entry, transaction) {
      if (transaction) await append(transaction, entry);
      else await db.transaction().execute((tx) => append(tx, entry));
    },
    async list({ before, limit }) {
      let query = db.selectFrom("audit").selectAll().orderBy("sequence", "desc").limit(limit);
      if (before > 0) query = query.where("sequence", "<", before);
      return (await query.execute()).map(toEntry);
    },
    async verify() {
      let entryCount = 0;
      let previous = genesis;
      for (let after = 0; ; ) {
        const page = await db.selectFrom("audit").selectAll().where("sequence", ">", after).orderBy("sequence").limit(500).execute();
        if (page.length === 0) return { isIntact: true, entryCount, brokenAtSequence: 0 };
        for (const row of page) {
          const sequence = Number(row.sequence);
          if (sequence !== entryCount + 1 || row.previous_hash !== previous || row.hash !== hashOf(row)) {
            return { isIntact: false, entryCount, brokenAtSequence: sequence };
          }
          entryCount++;
          previous = row.hash;
          after = sequence;
        }
      }
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
