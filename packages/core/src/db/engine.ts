// What a database engine gives: a dialect for Kysely, one plain connection for the schema, and notices between all processes on the
// database. Two engines, one PostgreSQL: embedded (pglite.ts) and a server (postgres.ts). No statement of ours asks which one it is.
import type { Fault } from "@aether/contract";
import type { Dialect } from "kysely";

/** One connection, used alone. Throws StatementError. */
export interface Statements {
  query(sql: string, parameters: readonly unknown[]): Promise<{ readonly rows: readonly unknown[] }>;
  /** Several statements at once, without parameters. */
  exec(sql: string): Promise<void>;
}

/**
 * What one process tells every process on this database, itself included, after the commit of the transaction that says it:
 * `select pg_notify(channel, payload)`. Nothing is kept for who does not listen, and a notice may be lost with a connection; whoever
 * listens is then called with undefined, and must look at everything.
 */
export interface Notices {
  /** Returns how to stop. `channel` is a plain lower-case name. */
  listen(channel: string, heard: (payload: string | undefined) => void): () => void;
}

export interface Engine {
  readonly name: "embedded" | "postgres";
  readonly dialect: Dialect;
  /** Connections that only the leadership uses: its lease must be renewed also when all others are busy. Undefined: the engine has no need of it. */
  readonly leaderDialect: Dialect | undefined;
  readonly notices: Notices;
  /** Resolves with the reason if the database has ended for good; a server that is away is waited for instead. */
  readonly died: Promise<Fault>;
  /** From here on every connection carries the term of this process's leadership; the schema's triggers compare it. */
  claim(term: number): void;
  /** Ends every connection of another process to this database. */
  evict(owner: string): Promise<void>;
  /** Runs with one connection of its own while no other process does the same. */
  alone(work: (connection: Statements) => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

/** Who listens to what in this process; shared by both engines. */
export function createListeners(): Notices & {
  heard(channel: string, payload: string | undefined): void;
  channels(): Iterable<string>;
  /** Called when a channel gets its first listener. */
  onFirst: (channel: string) => void;
} {
  const listeners = new Map<string, Set<(payload: string | undefined) => void>>();
  const made = {
    onFirst: (_channel: string) => {},
    channels: () => listeners.keys(),
    heard(channel: string, payload: string | undefined) {
      for (const listener of listeners.get(channel) ?? []) listener(payload);
    },
    listen(channel: string, listener: (payload: string | undefined) => void) {
      if (!/^[a-z_]{1,60}$/.test(channel)) throw new Error(`not a channel: ${channel}`);
      const known = listeners.get(channel);
      const set = known ?? new Set();
      set.add(listener);
      listeners.set(channel, set);
      if (known === undefined) made.onFirst(channel);
      return () => void set.delete(listener);
    },
  };
  return made;
}
