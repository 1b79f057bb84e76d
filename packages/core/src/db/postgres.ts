// A PostgreSQL server, by pg: a pool for the work, one connection of its own for notices. A server that goes away makes the statements of
// that time fail (STORAGE_FAILED, retried by who asks); nothing falls back to another database, and the work goes on when it is back.
import { readFile } from "node:fs/promises";
import { Fault, fault } from "@aether/contract";
import { type Logger, sleep } from "@aether/kit";
import { PostgresDialect, type PostgresPoolClient } from "kysely";
import pg from "pg";
import { createListeners, type Engine, type Statements } from "./engine.ts";
import type { PostgresConfig } from "./postgres-config.ts";
import { StatementError } from "./statement-error.ts";
import { withTurns } from "./turns.ts";

/** Of the leadership's statements: one that waits longer has lost its lease anyway. */
const leaderDeadlineMs = 5_000;
const connectDeadlineMs = 10_000;
/** No statement of ours takes longer than some seconds. */
const statementDeadlineMs = 60_000;
/** Any number, the same in every process: one changes the schema at a time. */
const schemaLock = 4_150_000;
const oldestServer = 130_000;

/** int8 as a number: our counts and sequences stay far below 2^53. Dates and JSON are read as both engines do by default. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === pg.types.builtins.INT8 ? (text: unknown) => Number(text) : (pg.types.getTypeParser(oid, format) as (text: unknown) => unknown),
};

/** Connects once, so that a wrong address or password is said at the start. Throws STORAGE_FAILED, CONFIG_INVALID. */
/** @param owner names this process among those on the database. */
export async function openPostgres(config: PostgresConfig, owner: string, log: Logger): Promise<Engine> {
  const options = await connectionOptions(config, owner);
  /** Of this process's leadership, and the connections that carry it already. */
  let term: number | undefined;
  const carriers = new WeakMap<pg.PoolClient, number>();
  const connect = async () => {
    const connection = await pool.connect();
    if (term !== undefined && carriers.get(connection) !== term) {
      const carried = term;
      await connection.query("select set_config('aether.term', $1, false)", [String(carried)]).catch((caught: unknown) => {
        connection.release(true);
        throw caught;
      });
      carriers.set(connection, carried);
    }
    return connection;
  };
  const pool = new pg.Pool({ ...options, max: config.poolSize, idleTimeoutMillis: 60_000, maxLifetimeSeconds: 3600 });
  // A connection that dies while idle is replaced by the next request.
  pool.on("error", (error) => log.warn({ err: error }, "database.connection_lost"));
  // One that dies while it is used fails its statement, and says so here as well: without a listener that would end the process.
  pool.on("connect", (connection) => connection.on("error", () => {}));
  const leaderPool = new pg.Pool({
    ...options,
    max: 1,
    idleTimeoutMillis: 0,
    statement_timeout: leaderDeadlineMs,
    query_timeout: leaderDeadlineMs + 1_000,
  });
  leaderPool.on("error", (error) => log.warn({ err: error }, "database.connection_lost"));
  leaderPool.on("connect", (connection) => connection.on("error", () => {}));
  const where = `${config.host}:${config.port}/${config.name}`;
  try {
    await checkServer(pool, where);
  } catch (caught) {
    await pool.end();
    throw caught;
  }
  const notices = listenBeside(options, log);
  return {
    name: "postgres",
    died: new Promise<Fault>(() => {}),
    notices,
    dialect: withTurns(
      new PostgresDialect({
        pool: { connect: async () => client(await connect().catch(translate)), end: () => pool.end(), options: {} },
      }),
      config.poolSize,
      statementDeadlineMs,
    ),
    claim(now) {
      term = now;
    },
    async evict(other) {
      const name = applicationName(other);
      const gone = () =>
        pool.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = $1", [
          name,
        ]);
      // Until none is left: a process that is alive makes new ones, which carry its old term and are refused.
      for (let i = 0; i < 20 && (await gone().catch(translate)).rows.length > 0; i++) await sleep(50);
    },
    leaderDialect: new PostgresDialect({
      pool: { connect: async () => client(await leaderPool.connect().catch(translate)), end: () => leaderPool.end(), options: {} },
    }),
    async alone(work) {
      const connection = await pool.connect().catch(translate);
      try {
        // The waiting for another process's schema change takes as long as that takes.
        await connection.query("set statement_timeout = 0");
        await connection.query("select pg_advisory_lock($1)", [schemaLock]);
        await work(statements(connection));
      } finally {
        // Closed, not returned: the lock and the setting end with the connection.
        connection.release(true);
      }
    },
    async close() {
      await notices.stop();
      if (!pool.ended) await pool.end();
      if (!leaderPool.ended) await leaderPool.end();
    },
  };
}

const applicationName = (owner: string): string => `aether-core/${owner}`;

async function connectionOptions(config: PostgresConfig, owner: string): Promise<pg.ClientConfig> {
  const { passwordFile, caFile } = config;
  if (passwordFile !== undefined) await readSecret(passwordFile); // a file that is not there is said now, not when a server asks
  return {
    host: config.host,
    port: config.port,
    database: config.name,
    user: config.user,
    // A function, and an empty text where there is none: the library would otherwise look into PGPASSWORD and ~/.pgpass. Read again for each
    // connection, so a rotated password needs no restart.
    password: async () => (passwordFile === undefined ? "" : readSecret(passwordFile)),
    ssl: config.tls === "off" ? false : { rejectUnauthorized: true, ...(caFile === undefined ? {} : { ca: await readSecret(caFile) }) },
    application_name: applicationName(owner),
    connectionTimeoutMillis: connectDeadlineMs,
    statement_timeout: statementDeadlineMs,
    // A transaction whose process is stuck must not hold its locks for ever.
    idle_in_transaction_session_timeout: statementDeadlineMs,
    query_timeout: statementDeadlineMs + 5_000,
    keepAlive: true,
    types,
  };
}

/** Does the server take a connection and answer now? */
export async function postgresAnswers(config: PostgresConfig): Promise<boolean> {
  const client = new pg.Client({ ...(await connectionOptions(config, "probe")), query_timeout: connectDeadlineMs });
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query("select 1");
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function readSecret(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw fault("CONFIG_INVALID", `cannot read ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
      field: "database",
    });
  });
  return text.trim();
}

async function checkServer(pool: pg.Pool, where: string): Promise<void> {
  const found = await pool
    .query("select current_setting('server_version_num')::int as version, current_setting('server_encoding') as encoding")
    .catch(translate)
    .catch((caught: unknown) => {
      if (caught instanceof Error && "code" in caught && caught.code === "CONFIG_INVALID") throw caught;
      const said = caught instanceof Fault ? caught.cause : caught;
      const why = said instanceof Error ? said.message : String(said);
      throw fault("STORAGE_FAILED", `the database ${where} cannot be used: ${why}`, {
        cause: caught,
        hint: "Check database.host, database.port, database.name, database.user and database.passwordFile; core never falls back to its own.",
      });
    });
  const { version, encoding } = found.rows[0] as { version: number; encoding: string };
  if (version < oldestServer)
    throw fault("STORAGE_FAILED", `${where} is PostgreSQL ${Math.floor(version / 10_000)}; 13 is the oldest that is known to work`);
  if (encoding !== "UTF8") throw fault("STORAGE_FAILED", `${where} has the encoding ${encoding}; make the database with UTF8`);
}

const statements = (connection: pg.PoolClient): Statements => ({
  query: (sql, parameters) => connection.query(sql, [...parameters]).catch(translate),
  exec: async (sql) => {
    await connection.query(sql).catch(translate);
  },
});

/** Kysely's view of a connection, with our errors. */
function client(connection: pg.PoolClient): PostgresPoolClient {
  let isBroken = false;
  const query = async (sql: unknown, parameters: readonly unknown[] = []) => {
    try {
      return await connection.query(sql as string, [...parameters]);
    } catch (caught) {
      // Not the server's word: the connection is gone or late, and what it would say next belongs to nobody.
      if (!(caught instanceof pg.DatabaseError)) isBroken = true;
      return translate(caught);
    }
  };
  return { query: query as unknown as PostgresPoolClient["query"], release: () => connection.release(isBroken) };
}

/** Class 08 and 57P: the connection or the server ended. */
function translate(caught: unknown): never {
  if (caught instanceof pg.DatabaseError && !/^(08|57P)/.test(caught.code ?? "")) {
    throw new StatementError(caught.message, caught.code, caught.constraint, { cause: caught });
  }
  if (caught instanceof Error && "code" in caught && caught.code === "CONFIG_INVALID") throw caught;
  // Where the database is and what its driver says is for the log, not for whoever asks: also somebody without a credential hears this.
  throw fault("STORAGE_FAILED", "the database does not answer now", { cause: caught });
}

const reconnectMs = 500;

/** One connection that only listens; made again when it ends, and everybody is then told to look for what was missed. */
function listenBeside(options: pg.ClientConfig, log: Logger): ReturnType<typeof createListeners> & { stop(): Promise<void> } {
  const listeners = createListeners();
  const stopping = new AbortController();
  let current: pg.Client | undefined;
  const listenOn = (to: pg.Client, channel: string) => to.query(`listen ${channel}`);

  const hold = async () => {
    // No deadline on statements here: it sends none but LISTEN.
    const connection = new pg.Client({ ...options, query_timeout: connectDeadlineMs });
    const ended = new Promise<void>((resolve) => {
      connection.once("end", () => resolve());
      connection.on("error", () => resolve());
    });
    connection.on("notification", ({ channel, payload }) => listeners.heard(channel, payload ?? ""));
    const stop = () => void connection.end();
    try {
      await connection.connect();
      for (const channel of listeners.channels()) await listenOn(connection, channel);
      current = connection;
      stopping.signal.addEventListener("abort", stop, { once: true });
      if (stopping.signal.aborted) stop();
      for (const channel of listeners.channels()) listeners.heard(channel, undefined);
      await ended;
    } finally {
      current = undefined;
      stopping.signal.removeEventListener("abort", stop);
      await connection.end().catch(() => undefined);
    }
  };
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      await hold().catch((caught: unknown) => log.warn({ err: caught }, "database.notices_lost"));
      if (!stopping.signal.aborted) await sleep(reconnectMs, stopping.signal).catch(() => undefined);
    }
  })();

  listeners.onFirst = (channel) => {
    const to = current;
    // One that fails ends the connection, and the next one listens to all.
    if (to !== undefined) listenOn(to, channel).catch(() => void to.end());
  };
  return Object.assign(listeners, {
    async stop() {
      stopping.abort();
      await loop;
    },
  });
}
