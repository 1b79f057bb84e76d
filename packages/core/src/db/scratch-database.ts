// For tests: the real database on each engine, gone afterwards. Suites that speak to a database run on both: see vitest.config.ts.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { postgresIsMissing } from "../testing/postgres-programs.ts";
import { type PostgresServer, startPostgres } from "../testing/postgres-server.ts";
import { type OpenDatabase, openDatabase } from "./database.ts";
import type { PostgresConfig } from "./postgres-config.ts";

export type ScratchDatabase = OpenDatabase & { readonly dir: string; readonly postgres: PostgresConfig | undefined };

/** One engine to test on. `skip`: the reason why not, if it is not to be had here. */
export interface TestEngine {
  readonly name: OpenDatabase["engine"];
  readonly skip: string | undefined;
  /** About 1 s; open one a test file and use other names in each test. */
  open(): Promise<ScratchDatabase>;
  /** For whoever opens the database itself: its configuration; undefined for the embedded one. `done` when it is not needed any more. */
  configure(): Promise<{ readonly postgres: PostgresConfig | undefined; done(): Promise<void> }>;
}

/** The engines, for `describe.each`. */
export const testEngines: readonly TestEngine[] = [
  testEngine("embedded", undefined, async () => ({ postgres: undefined, done: async () => {} })),
  testEngine("postgres", postgresIsMissing, async () => {
    const server = await lendServer();
    return { postgres: await server.createDatabase(), done: returnServer };
  }),
];

/** The engine of this run of the tests: `AETHER_TEST_DATABASE=postgres`, else the embedded one. */
export const scratchEngine = (): TestEngine =>
  testEngines.find(({ name }) => name === (process.env.AETHER_TEST_DATABASE ?? "embedded")) as TestEngine;

export const openScratchDatabase = (): Promise<ScratchDatabase> => scratchEngine().open();

function testEngine(name: TestEngine["name"], skip: string | undefined, configure: TestEngine["configure"]): TestEngine {
  return { name, skip, configure, open: async () => openWith(await configure()) };
}

async function openWith({ postgres, done }: Awaited<ReturnType<TestEngine["configure"]>>): Promise<ScratchDatabase> {
  const dir = await mkdtemp(join(tmpdir(), "aether-core-"));
  const open = await openDatabase({ dataDir: dir, postgres, isDurable: false });
  return {
    ...open,
    dir,
    postgres,
    async close() {
      await open.close();
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
      await done();
    },
  };
}

/** One server for all suites of a file; it ends with the last of them. */
let server: Promise<PostgresServer> | undefined;
let borrowers = 0;

async function lendServer(): Promise<PostgresServer> {
  borrowers++;
  server ??= startPostgres();
  return server;
}

async function returnServer(): Promise<void> {
  if (--borrowers > 0 || server === undefined) return;
  const ending = server;
  server = undefined;
  await (await ending).stop();
}
