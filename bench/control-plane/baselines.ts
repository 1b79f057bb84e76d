// What the database takes at most, and what a plain handler in front of it takes.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Fastify from "fastify";
import { sql } from "kysely";
import { openDatabase } from "../../packages/core/dist/db/database.js";
import type { PostgresConfig } from "../../packages/core/dist/db/postgres-config.js";

export interface Baseline {
  readonly rowsPerSecond: number;
  readonly how: string;
}

const sample = JSON.stringify({
  at: "2026-01-01T00:00:00Z",
  spanMs: 1000,
  cpuFraction: 0.25,
  memoryUsedBytes: "2147483648",
  memoryAvailableBytes: "6442450944",
  receivedBytesPerSecond: 1e6,
  sentBytesPerSecond: 1e6,
});
const runMs = 5_000;

async function withTable<T>(
  postgres: PostgresConfig | undefined,
  work: (database: Awaited<ReturnType<typeof openDatabase>>) => Promise<T>,
): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), "aether-bench-"));
  const database = await openDatabase({ dataDir: dir, postgres });
  try {
    await sql`create table bench_samples (subject text not null, at timestamptz not null default now(), sample jsonb not null)`.execute(
      database.db,
    );
    return await work(database);
  } finally {
    await database.close();
    await rm(dir, { recursive: true, force: true });
  }
}

/** Five hundred rows a statement, one statement after the other: as much as this engine takes from one writer. */
export const measureLimit = (postgres: PostgresConfig | undefined): Promise<Baseline> =>
  withTable(postgres, async ({ db }) => {
    const rows = JSON.stringify(Array.from({ length: 500 }, (_, i) => ({ subject: `node/n${i}`, sample: JSON.parse(sample) as unknown })));
    let count = 0;
    const startedMs = performance.now();
    while (performance.now() - startedMs < runMs) {
      await sql`insert into bench_samples (subject, sample) select subject, sample from jsonb_to_recordset(${rows}::jsonb) as each(subject text, sample jsonb)`.execute(
        db,
      );
      count += 500;
    }
    return { rowsPerSecond: Math.round((count / (performance.now() - startedMs)) * 1000), how: "a bare loop, 500 rows a statement" };
  });

/** POST /samples, one row each, thirty-two requests at once. */
export const measureNaive = (postgres: PostgresConfig | undefined): Promise<Baseline> =>
  withTable(postgres, async ({ db }) => {
    const app = Fastify();
    app.post("/samples", async (request) => {
      await sql`insert into bench_samples (subject, sample) values (${"node/n1"}, ${JSON.stringify(request.body)}::jsonb)`.execute(db);
      return {};
    });
    const url = `${await app.listen({ port: 0, host: "127.0.0.1" })}/samples`;
    let count = 0;
    const startedMs = performance.now();
    const one = async () => {
      while (performance.now() - startedMs < runMs) {
        await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: sample });
        count++;
      }
    };
    await Promise.all(Array.from({ length: 32 }, one));
    const took = performance.now() - startedMs;
    await app.close();
    return { rowsPerSecond: Math.round((count / took) * 1000), how: "fastify, one insert a request, 32 at once" };
  });
