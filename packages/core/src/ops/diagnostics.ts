// The diagnostics bundle: one tar.gz, part after part, never more than one part in memory. Every row goes through withoutSecrets; tables that hold
// nothing but secrets are not read at all.
import { freemem, loadavg, release, totalmem } from "node:os";
import { createGzip } from "node:zlib";
import {
  type DiagnosticsPart,
  DiagnosticsPartSchema,
  type GetDiagnosticsManifestResponse,
  GetDiagnosticsManifestResponseSchema,
} from "@aether/contract/gen/aether/v2/ops_pb";
import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { sql } from "kysely";
import { pack } from "tar-stream";
import type { Db } from "../db/database.ts";
import type { Database } from "../db/schema.ts";
import { coreVersion } from "../version.ts";
import { agentsAsked } from "./daemon-logs.ts";
import { withoutSecrets } from "./without-secrets.ts";

export interface DiagnosticsParts {
  readonly db: Db;
  readonly engine: string;
  /** The configuration in force, secrets covered. */
  readonly config: () => JsonValue;
  /** What the daemons said last, one line each. */
  readonly coreLog: () => string;
  readonly agentLogs: (signal: AbortSignal) => Promise<string>;
  /** The Prometheus text, as /metrics has it. */
  readonly metrics: () => Promise<string>;
  readonly nowMs: () => number;
}

/** Of one part, before compression: what is older is left out, and said. */
const partLimitBytes = 32 << 20;

interface TablePart {
  readonly table: keyof Database;
  readonly what: string;
  /** SQL: the newest first. */
  readonly order: string;
  readonly rows: number;
  readonly without?: readonly string[];
}

const tables: readonly TablePart[] = [
  { table: "nodes", what: "nodes with their facts and capabilities", order: "id", rows: 10_000 },
  { table: "workloads", what: "workloads; of their environment only the names", order: "name", rows: 10_000 },
  { table: "placements", what: "where workloads ran", order: "created_at desc", rows: 5_000 },
  { table: "migrations", what: "migrations with their phases and receipts", order: "created_at desc", rows: 500 },
  { table: "migration_events", what: "the journal of migrations", order: "sequence desc", rows: 10_000 },
  { table: "commands", what: "commands to agents and their answers", order: "created_at desc", rows: 2_000 },
  { table: "signals", what: "signals", order: "received_at desc", rows: 2_000 },
  { table: "decisions", what: "decisions with inputs and alternatives", order: "at desc", rows: 1_000 },
  { table: "certificates", what: "evacuation certificates", order: "workload", rows: 5_000 },
  { table: "move_measurements", what: "foretold and measured moves", order: "at desc", rows: 2_000 },
  { table: "snapshots", what: "the catalogue of snapshots, not their bytes", order: "created_at desc", rows: 2_000 },
  { table: "drills", what: "drills", order: "started_at desc", rows: 200 },
  { table: "drill_schedules", what: "schedules of drills", order: "name", rows: 500 },
  { table: "assessments", what: "the newest assessments of risk", order: "subject", rows: 5_000 },
  { table: "fetches", what: "the health of price and status feeds", order: "name", rows: 1_000 },
  { table: "policies", what: "policies, all versions", order: "name, version desc", rows: 1_000 },
  { table: "runbooks", what: "runbooks, all versions", order: "name, version desc", rows: 1_000 },
  { table: "runbook_runs", what: "runs of runbooks, the newest", order: "id desc", rows: 500 },
  { table: "runbook_steps", what: "their steps", order: "run_id desc, position", rows: 5_000 },
  { table: "guards", what: "guard rails", order: "id", rows: 10 },
  { table: "settings", what: "what was changed while it runs", order: "name", rows: 100 },
  { table: "events", what: "events, the newest", order: "sequence desc", rows: 20_000 },
  { table: "audit", what: "the audit log, the newest entries", order: "sequence desc", rows: 5_000 },
];

const leftOut = [
  "tokens, passwords, sessions and sign-in links, also as hashes",
  "private keys, the snapshot key and join tokens",
  "values of workloads' environment variables, and arguments that follow a secret's name",
  "memory and files of workloads",
  "the output of workloads; of the daemons' logs what is older than the last lines",
];

interface Part {
  readonly part: DiagnosticsPart;
  /** The whole part; at most `partLimitBytes`. */
  read(signal: AbortSignal): Promise<string>;
}

async function partsOf(options: DiagnosticsParts): Promise<Part[]> {
  const { db } = options;
  const text = (name: string, what: string, read: (signal: AbortSignal) => Promise<string> | string): Part => ({
    part: create(DiagnosticsPartSchema, { name, what, count: 1n, isIncluded: true }),
    read: async (signal) => read(signal),
  });
  const counted = await sql<{ table: string; rows: string; bytes: string }>`
    select c.relname as table, greatest(c.reltuples, 0)::bigint::text as rows, pg_total_relation_size(c.oid)::text as bytes
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = current_schema() and c.relkind = 'r'`.execute(db);
  const sizes = new Map(counted.rows.map((row) => [row.table, Number(row.bytes)]));
  return [
    text("control-plane.json", "versions, engine, uptime, memory, sizes of tables", () =>
      JSON.stringify(vitals(options, counted.rows), null, 1),
    ),
    text("config.json", "the configuration in force; secrets covered", () => JSON.stringify(withoutSecrets(options.config()), null, 1)),
    text("metrics.txt", "metrics, as /metrics has them", options.metrics),
    text("log-core.ndjson", "what this control plane said last", options.coreLog),
    text("log-agents.ndjson", `what the agents of at most ${agentsAsked} connected nodes said last`, options.agentLogs),
    ...(await Promise.all(
      tables.map(async ({ table, what, order, rows }): Promise<Part> => {
        const { count } = (
          await sql<{
            count: string;
          }>`select count(*)::text as count from (select 1 from ${sql.table(table)} limit ${sql.lit(rows + 1)}) s`.execute(db)
        ).rows[0] ?? { count: "0" };
        const isCut = Number(count) > rows;
        return {
          part: create(DiagnosticsPartSchema, {
            name: `${table.replaceAll("_", "-")}.ndjson`,
            what,
            count: BigInt(Math.min(Number(count), rows)),
            estimatedBytes: BigInt(Math.min(sizes.get(table) ?? 0, partLimitBytes)),
            isIncluded: true,
            note: isCut ? `only the first ${rows} of more, ordered by ${order}` : "",
          }),
          read: () => readRows(db, table, order, rows),
        };
      }),
    )),
  ];
}

function vitals({ engine, nowMs }: DiagnosticsParts, sizes: readonly JsonValue[]): JsonValue {
  return {
    at: new Date(nowMs()).toISOString(),
    version: coreVersion,
    node: process.version,
    kernel: release(),
    architecture: process.arch,
    database: engine,
    uptimeSeconds: Math.round(process.uptime()),
    memory: { ...process.memoryUsage(), machineBytes: totalmem(), machineFreeBytes: freemem() },
    load: loadavg(),
    tables: [...sizes],
  };
}

/** One JSON object a line, cleaned; cut where the part would be too large. */
async function readRows(db: Db, table: keyof Database, order: string, limit: number): Promise<string> {
  const batch = 500;
  const lines: string[] = [];
  let bytes = 0;
  for (let from = 0; from < limit; from += batch) {
    const { rows } = await sql<{ row: JsonValue }>`
      select to_jsonb(t) as row from ${sql.table(table)} t order by ${sql.raw(order)} limit ${sql.lit(Math.min(batch, limit - from))} offset ${sql.lit(from)}
    `.execute(db);
    for (const { row } of rows) {
      const line = JSON.stringify(withoutSecrets(row));
      bytes += line.length + 1;
      if (bytes > partLimitBytes) return `${lines.join("\n")}\n`;
      lines.push(line);
    }
    if (rows.length < batch) break;
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

export async function diagnosticsManifest(
  options: DiagnosticsParts,
  more: readonly DiagnosticsPart[],
): Promise<GetDiagnosticsManifestResponse> {
  const parts = [...(await partsOf(options)).map(({ part }) => part), ...more];
  return create(GetDiagnosticsManifestResponseSchema, {
    parts,
    estimatedBytes: parts.filter(({ isIncluded }) => isIncluded).reduce((sum, { estimatedBytes }) => sum + estimatedBytes, 0n),
    leftOut,
  });
}

export interface BundleChunk {
  readonly data: Uint8Array;
  readonly part: string;
  readonly partsDone: number;
  readonly partsTotal: number;
}

/** A part that comes as a stream of known length, e.g. a snapshot. */
export interface StreamedPart {
  readonly part: DiagnosticsPart;
  readonly bytes: number;
  open(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Reads a part only when the one before has gone out. */
export async function* diagnosticsBundle(
  options: DiagnosticsParts,
  more: readonly StreamedPart[],
  skipped: readonly DiagnosticsPart[],
  signal: AbortSignal,
): AsyncGenerator<BundleChunk> {
  const parts = await partsOf(options);
  const manifest = await diagnosticsManifest(options, [...more.map(({ part }) => part), ...skipped]);
  const folder = `aether-diagnostics-${new Date(options.nowMs()).toISOString().replace(/[:.]/g, "-")}`;
  const progress = { part: "manifest.json", partsDone: 0, partsTotal: parts.length + more.length + 1 };
  const archive = pack();
  const write = async (name: string, body: string) => {
    progress.part = name;
    await new Promise<void>((resolve, reject) => {
      archive.entry({ name: `${folder}/${name}`, mtime: new Date(options.nowMs()) }, body, (problem) =>
        problem ? reject(problem) : resolve(),
      );
    });
    progress.partsDone++;
  };
  const fill = async () => {
    await write("manifest.json", JSON.stringify(toJson(GetDiagnosticsManifestResponseSchema, manifest), null, 1));
    for (const { part, read } of parts) {
      signal.throwIfAborted();
      await write(part.name, await read(signal));
    }
    for (const each of more) await stream(each);
    archive.finalize();
  };
  const stream = async ({ part, bytes, open }: StreamedPart) => {
    progress.part = part.name;
    const entry = archive.entry({ name: `${folder}/${part.name}`, size: bytes }) as unknown as NodeJS.WritableStream;
    for await (const chunk of open(signal)) {
      signal.throwIfAborted();
      if (!entry.write(chunk)) await new Promise<void>((resolve) => entry.once("drain", resolve));
    }
    entry.end();
    progress.partsDone++;
  };
  const zipped = createGzip();
  archive.on("error", (problem) => zipped.destroy(problem));
  archive.pipe(zipped);
  const filling = fill().catch((caught: unknown) => {
    zipped.destroy(caught instanceof Error ? caught : new Error(String(caught)));
  });
  try {
    for await (const chunk of zipped) yield { data: new Uint8Array(chunk as Buffer), ...progress };
    await filling;
  } finally {
    archive.destroy();
    zipped.destroy();
  }
}
