// What the database takes at most, and what a plain handler in front of it takes.
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Fastify from "fastify";
import { sql } from "kysely";
import { openDatabase } from "../../packages/core/dist/db/database.js";
import type { PostgresConfig } from "../../packages/core/dist/db/postgres-config.js";

export interface Baseline {
  readonly rowsPerSecond: number;
  /** CPU milliseconds of a thousand rows, database included, whoever asks not. */
  readonly cpuMsPerThousand: number;
}

export interface BaselineOn {
  readonly postgres: PostgresConfig | undefined;
  /** CPU seconds of the database's own processes so far; 0 for the embedded one, which is in this process. */
  readonly databaseSeconds: () => number;
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
const atOnce = 32;

async function measure(
  { postgres, databaseSeconds }: BaselineOn,
  work: (database: Awaited<ReturnType<typeof openDatabase>>) => Promise<{ count: number; tookMs: number }>,
): Promise<Baseline> {
  const dir = await mkdtemp(join(tmpdir(), "aether-bench-"));
  const database = await openDatabase({ dataDir: dir, postgres });
  try {
    await sql`create table bench_samples (subject text not null, at timestamptz not null default now(), sample jsonb not null)`.execute(
      database.db,
    );
    const [own, its] = [process.cpuUsage(), databaseSeconds()];
    const { count, tookMs } = await work(database);
    const { user, system } = process.cpuUsage(own);
    const cpuMs = (user + system) / 1000 + (databaseSeconds() - its) * 1000;
    return { rowsPerSecond: Math.round((count / tookMs) * 1000), cpuMsPerThousand: (cpuMs / count) * 1000 };
  } finally {
    await database.close();
    await rm(dir, { recursive: true, force: true });
  }
}

/** Five hundred rows a statement, one statement after the other: as much as this engine takes from one writer. */
export const measureLimit = (on: BaselineOn): Promise<Baseline> =>
  measure(on, async ({ db }) => {
    const rows = JSON.stringify(Array.from({ length: 500 }, (_, i) => ({ subject: `node/n${i}`, sample: JSON.parse(sample) as unknown })));
    let count = 0;
    const startedMs = performance.now();
    while (performance.now() - startedMs < runMs) {
      await sql`insert into bench_samples (subject, sample) select subject, sample from jsonb_to_recordset(${rows}::jsonb) as each(subject text, sample jsonb)`.execute(
        db,
      );
      count += 500;
    }
    return { count, tookMs: performance.now() - startedMs };
  });

/** POST /samples, one row each, thirty-two requests at once, from a process of its own. */
export const measureNaive = (on: BaselineOn): Promise<Baseline> =>
  measure(on, async ({ db }) => {
    const app = Fastify();
    app.post("/samples", async (request) => {
      await sql`insert into bench_samples (subject, sample) values (${"node/n1"}, ${JSON.stringify(request.body)}::jsonb)`.execute(db);
      return {};
    });
    const url = `${await app.listen({ port: 0, host: "127.0.0.1" })}/samples`;
    try {
      const client = fork(new URL("./naive-client.ts", import.meta.url), [url, sample, String(atOnce), String(runMs)]);
      const [said] = (await Promise.race([
        once(client, "message"),
        once(client, "exit").then(() => Promise.reject(new Error("the client of the plain handler has failed"))),
      ])) as [{ count: number; tookMs: number }];
      return said;
    } finally {
      await app.close();
    }
  });
