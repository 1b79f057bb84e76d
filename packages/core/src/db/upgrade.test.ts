// A database of the first release, with data in it, brought up to date: nothing is lost, what was numbered goes on, what was chained still holds.
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@aether/kit";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAudit } from "../audit/audit.ts";
import { createEvents } from "../events/events.ts";
import { readNodeSamples } from "../telemetry/store.ts";
import { openDatabase } from "./database.ts";
import type { Statements } from "./engine.ts";
import { migrateSchema, readSchemaFiles } from "./migrate.ts";
import { openPglite } from "./pglite.ts";
import { openPostgres } from "./postgres.ts";
import { type TestEngine, testEngines } from "./scratch-database.ts";
import { plantCluster } from "./seed.ts";

/** What was released: the tables of 0.1.0. */
const released = 1;

/** The last set in which samples were appended to a row of their minute. */
const beforeSamples = 20;

/** A minute as it came, and one that was averaged. */
async function fillTelemetry(connection: Statements): Promise<void> {
  const sample = (second: number, cpuFraction: number) => ({ at: `2026-01-01T00:00:0${second}Z`, spanMs: 1000, cpuFraction });
  for (const [minute, isAveraged, samples] of [
    ["2026-01-01T00:00:00Z", false, [sample(1, 0.1), sample(2, 0.2)]],
    ["2025-12-31T22:00:00Z", true, [{ at: "2025-12-31T22:00:59Z", spanMs: 60_000, cpuFraction: 0.3 }]],
  ] as const)
    await connection.query("insert into telemetry (subject, minute, samples, is_averaged) values ('node/n1', $1, $2, $3)", [
      minute,
      JSON.stringify(samples),
      isAveraged,
    ]);
}

/** As 0.1.0 chained it. */
function auditRow(sequence: number, previousHash: string) {
  const fields = [
    sequence,
    1_760_000_000_000 + sequence,
    "token/first-admin",
    "127.0.0.1",
    "workload.run",
    `workload/w${sequence}`,
    "ok",
    "{}",
    "ab",
    previousHash,
  ];
  return [...fields, createHash("sha256").update(JSON.stringify(fields)).digest("hex")];
}

async function fill(connection: Statements): Promise<void> {
  const insert = (table: string, row: Record<string, unknown>) => {
    const names = Object.keys(row);
    return connection.query(
      `insert into ${table} (${names.join(", ")}) values (${names.map((_, i) => `$${i + 1}`).join(", ")})`,
      Object.values(row),
    );
  };
  const spec = JSON.stringify({ name: "db", argv: ["redis-server"], rootfs: "host" });
  for (const id of ["n1", "n2"]) await insert("nodes", { id, facts: JSON.stringify({ hostname: id, memoryBytes: "1024" }) });
  await insert("workloads", { name: "db", id: "wl-1", spec, address: "10.77.1.2", desired: "running", state: "running" });
  await insert("placements", { workload: "db", epoch: 3, node_id: "n1", cause: "run" });
  await insert("migrations", {
    id: "mig-1",
    workload: "db",
    source_node_id: "n2",
    target_node_id: "n1",
    state: "done",
    requested_mode: "auto",
    epoch_before: 2,
    cause: "operator",
    ended_at: new Date(),
  });
  await insert("signals", { id: "sig-1", node_id: "n1", sequence: 4, kind: "notice", observed_at: new Date(), source: "imds" });
  await insert("decisions", { id: "dec-1", node_id: "n1", signal_id: "sig-1", action: "migrate", rule: "notice", reason: "announced" });
  await insert("snapshots", { id: "snap-1", workload: "db", spec, state: "ready", node_id: "n1", epoch: 3 });
  await insert("drills", { id: "drl-1", kind: "notice", node_id: "n1", state: "passed", window_seconds: 120 });
  await insert("tokens", { id: "tok-1", name: "ci", role: "operator", secret_sha256: "x", expires_at: new Date(Date.now() + 1e9) });
  for (let i = 1; i <= 5; i++) await insert("events", { type: "test", subject: "core", message: `event ${i}` });
  await connection.exec("delete from events where sequence = 2"); // a hole, as retention leaves it
  let previous = "0".repeat(64);
  for (let i = 1; i <= 3; i++) {
    const row = auditRow(i, previous);
    await connection.query(
      "insert into audit (sequence, at_ms, actor, source_address, action, subject, outcome, data, trace_id, previous_hash, hash) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
      row,
    );
    previous = String(row[10]);
  }
}

describe.each(testEngines)("a database of 0.1.0, $name", ({ skip, configure }) => {
  let dir: string;
  let configured: Awaited<ReturnType<TestEngine["configure"]>>;
  beforeAll(async () => {
    if (skip !== undefined) return;
    dir = await mkdtemp(join(tmpdir(), "aether-core-"));
    configured = await configure();
    const { postgres } = configured;
    if (postgres === undefined) await plantCluster(join(dir, "database"), false);
    const engine =
      postgres === undefined
        ? await openPglite({ dir: join(dir, "database"), isDurable: false })
        : await openPostgres(postgres, "upgrade", silentLogger);
    await engine.alone(async (connection) => {
      await migrateSchema(connection, (await readSchemaFiles()).slice(0, released));
      await fill(connection);
      await migrateSchema(connection, (await readSchemaFiles()).slice(0, beforeSamples));
      await fillTelemetry(connection);
    });
    await engine.close();
  }, 60_000);
  afterAll(async () => {
    if (skip !== undefined) return;
    await configured.done();
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  });

  it("keeps its data, its numbering and its chain through every schema file since", async (context) => {
    if (skip !== undefined) context.skip(skip);
    const database = await openDatabase({ dataDir: dir, postgres: configured.postgres, isDurable: false });
    const { db } = database;
    try {
      const files = await sql<{ number: number }>`select number from schema_files`.execute(db);
      expect(files.rows).toHaveLength((await readSchemaFiles()).length);
      for (const [table, count] of Object.entries({
        nodes: 2,
        workloads: 1,
        placements: 1,
        migrations: 1,
        signals: 1,
        decisions: 1,
        snapshots: 1,
        drills: 1,
        tokens: 1,
        events: 4,
        audit: 3,
      })) {
        const { rows } = await sql<{ count: number }>`select count(*)::int as count from ${sql.table(table)}`.execute(db);
        expect([table, rows[0]?.count]).toEqual([table, count]);
      }
      expect(await db.selectFrom("placements").selectAll().executeTakeFirst()).toMatchObject({ workload: "db", epoch: 3, is_active: true });

      const samples = await readNodeSamples(db, "n1", 0);
      expect(samples.map(({ spanMs, cpuFraction }) => [spanMs, cpuFraction])).toEqual([
        [60_000, 0.3],
        [1_000, 0.1],
        [1_000, 0.2],
      ]);

      const events = createEvents(db, database.notices);
      await events.append(db, { type: "test", subject: "core", message: "event 6" });
      const kept = await events.list({ after: 0, limit: 10 });
      expect(kept.map(({ sequence, message }) => [Number(sequence), message])).toEqual([1, 3, 4, 5, 6].map((i) => [i, `event ${i}`]));

      const audit = createAudit(db, () => 1_770_000_000_000);
      expect(await audit.verify()).toMatchObject({ isIntact: true, entryCount: 3 });
      await audit.record({ actor: "core", action: "test.act", subject: "x", outcome: "ok" });
      expect(await audit.verify()).toMatchObject({ isIntact: true, entryCount: 4 });
    } finally {
      await database.close();
    }
  });
});
