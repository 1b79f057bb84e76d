// The same rows without any thought: a signal, a decision and a move for each notice, of about their size, into the same kind of database.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { openDatabase } from "../../packages/core/dist/db/database.js";
import type { PostgresConfig } from "../../packages/core/dist/db/postgres-config.js";

/** As the bodies of rows of one wave were seen, bytes of JSON. */
const bodies = { signal: 200, decision: 4_000, migration: 700 } as const;

export interface BareWave {
  /** All rows in one transaction, a statement for each kind. */
  readonly togetherMs: number;
  /** A transaction for each notice, one after the other, three statements each. */
  readonly oneByOneMs: number;
}

export async function measureBareWave(notices: number, postgres: PostgresConfig | undefined): Promise<BareWave> {
  const dir = await mkdtemp(join(tmpdir(), "aether-bench-"));
  const { db, close } = await openDatabase({ dataDir: dir, postgres });
  const row = (kind: keyof typeof bodies) => JSON.stringify({ kind, text: "x".repeat(bodies[kind]) });
  const kinds = Object.keys(bodies) as (keyof typeof bodies)[];
  try {
    await sql`create table bench_wave (id bigint generated always as identity primary key, body jsonb not null)`.execute(db);
    const together = await timed(() =>
      db.transaction().execute(async (tx) => {
        for (const kind of kinds)
          await sql`insert into bench_wave (body) select ${row(kind)}::jsonb from generate_series(1, ${notices}::integer)`.execute(tx);
      }),
    );
    const oneByOne = await timed(async () => {
      for (let i = 0; i < notices; i++)
        await db.transaction().execute(async (tx) => {
          for (const kind of kinds) await sql`insert into bench_wave (body) values (${row(kind)}::jsonb)`.execute(tx);
        });
    });
    return { togetherMs: together, oneByOneMs: oneByOne };
  } finally {
    await close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return Math.round(performance.now() - startedMs);
}
