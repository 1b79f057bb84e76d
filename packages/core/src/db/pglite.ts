// PGlite behind a message port, and Kysely's view of it: one connection, taken in turns. A transaction has it alone until it ends,
// so inside a transaction only its own handle may be used: the database's handle would wait for the transaction for ever.
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { type Fault, fault } from "@aether/contract";
import { withDeadline } from "@aether/kit";
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
} from "kysely";
import { createListeners, type Engine, type Notices } from "./engine.ts";
import type { WorkerData, WorkerReply, WorkerRequest } from "./pglite-worker.ts";
import { StatementError } from "./statement-error.ts";
import { withTurns } from "./turns.ts";

interface PgliteThread {
  query(sql: string, parameters: readonly unknown[]): Promise<{ rows: readonly unknown[]; affected: number }>;
  /** Several statements at once, without parameters. */
  exec(sql: string): Promise<void>;
  close(): Promise<void>;
  readonly notices: Notices;
  /** Resolves with the reason if the thread ends without having been closed. */
  readonly died: Promise<Fault>;
}

/** Starting takes 1 s on an idle machine of 2 cores; ten such starts at once were seen to take 15. */
const startDeadlineMs = 60_000;
/** No statement of ours takes longer than some seconds; one that does means a thread that hangs. */
const turnDeadlineMs = 60_000;

/** Opens the data directory in a thread of its own. */
async function openPgliteThread(data: WorkerData): Promise<PgliteThread> {
  // Optimizing PostgreSQL's 10 MB of WASM on all cores at once needs 500 MB for a second or two; one at a time hardly takes longer.
  setFlagsFromString("--wasm-num-compilation-tasks=1");
  const file = import.meta.url.endsWith(".ts") ? "./pglite-worker.ts" : "./pglite-worker.js";
  const worker = new Worker(new URL(file, import.meta.url), { workerData: data, execArgv: [] });
  const waiting = new Map<number, { resolve(reply: WorkerReply & { kind: "rows" }): void; reject(reason: unknown): void }>();
  const listeners = createListeners();
  let lastId = 0;
  let ended: Fault | undefined;
  let isClosing = false;
  let ready = () => {};
  let refuse = (_reason: unknown) => {};
  const started = new Promise<void>((resolve, reject) => {
    ready = resolve;
    refuse = reject;
  });
  let tell = (_reason: Fault) => {};
  const died = new Promise<Fault>((resolve) => {
    tell = resolve;
  });
  const end = (reason: Fault) => {
    if (ended) return;
    ended = reason;
    refuse(reason);
    for (const { reject } of waiting.values()) reject(reason);
    waiting.clear();
    if (!isClosing) tell(reason);
  };
  worker.on("message", (reply: WorkerReply) => {
    if (reply.kind === "ready") return ready();
    if (reply.kind === "notice") return listeners.heard(reply.channel, reply.payload);
    const asked = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (reply.kind === "rows") asked?.resolve(reply);
    else asked?.reject(new StatementError(reply.error.message, reply.error.code, reply.error.constraint));
  });
  worker.on("error", (cause) => end(fault("STORAGE_FAILED", `the embedded database failed: ${String(cause)}`, { cause })));
  worker.on("exit", () => end(fault("STORAGE_FAILED", "the embedded database has ended")));

  const ask = (kind: WorkerRequest["kind"], sql: string, parameters: readonly unknown[]) =>
    new Promise<WorkerReply & { kind: "rows" }>((resolve, reject) => {
      if (ended) return reject(ended);
      const id = ++lastId;
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, kind, sql, parameters } satisfies WorkerRequest);
    });

  await withDeadline("starting the embedded database", startDeadlineMs, () => started).catch(async (caught: unknown) => {
    isClosing = true;
    await worker.terminate();
    throw caught;
  });
  // One that fails has no connection to be told on: the thread is ending.
  listeners.onFirst = (channel) => void ask("exec", `listen ${channel}`, []).catch(() => undefined);
  return {
    died,
    notices: listeners,
    query: (sql, parameters) => ask("query", sql, parameters),
    async exec(sql) {
      await ask("exec", sql, []);
    },
    async close() {
      if (ended || isClosing) return;
      isClosing = true;
      const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
      await withDeadline("closing the embedded database", 10_000, () => ask("close", "", [])).finally(() => worker.terminate());
      await exited;
    },
  };
}

class PgliteConnection implements DatabaseConnection {
  readonly #thread: PgliteThread;
  constructor(thread: PgliteThread) {
    this.#thread = thread;
  }
  async executeQuery<Found>(query: CompiledQuery): Promise<QueryResult<Found>> {
    const { rows, affected } = await this.#thread.query(query.sql, query.parameters);
    return { rows: rows as Found[], numAffectedRows: BigInt(affected) };
  }
  async *streamQuery<Found>(query: CompiledQuery): AsyncIterableIterator<QueryResult<Found>> {
    yield await this.executeQuery<Found>(query);
  }
}

class PgliteDriver implements Driver {
  readonly #thread: PgliteThread;
  constructor(thread: PgliteThread) {
    this.#thread = thread;
  }
  async init(): Promise<void> {}
  async acquireConnection(): Promise<PgliteConnection> {
    return new PgliteConnection(this.#thread);
  }
  async releaseConnection(): Promise<void> {}
  async beginTransaction(connection: PgliteConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("begin"));
  }
  async commitTransaction(connection: PgliteConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("commit"));
  }
  async rollbackTransaction(connection: PgliteConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("rollback"));
  }
  async destroy(): Promise<void> {
    await this.#thread.close();
  }
}

/** The embedded engine. The caller holds the directory's lock, so this process is always alone. */
export async function openPglite(data: WorkerData): Promise<Engine> {
  const thread = await openPgliteThread(data);
  return {
    name: "embedded",
    dialect: withTurns(pgliteDialect(thread), 1, turnDeadlineMs),
    notices: thread.notices,
    died: thread.died,
    leaderDialect: undefined,
    claim() {},
    evict: async () => {},
    alone: (work) => work(thread),
    close: thread.close,
  };
}

/** Kysely's dialect over the thread: PostgreSQL's own compiler and adapter, our driver. */
function pgliteDialect(thread: PgliteThread): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new PgliteDriver(thread),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createIntrospector: (db) => new PostgresIntrospector(db),
  };
}
