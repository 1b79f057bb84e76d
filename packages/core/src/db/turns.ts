// Who has the next connection. What cannot wait (a signal on its way to its decision, a move whose workload is frozen) goes before what can (heartbeats
// into rows, certificates, pages for people): on the embedded database, which has one connection, and on a busy pool.
import { AsyncLocalStorage } from "node:async_hooks";
import { withDeadline } from "@aether/kit";
import type { DatabaseConnection, Dialect, Driver, TransactionSettings } from "kysely";

const urgent = new AsyncLocalStorage<boolean>();

/** What the work asks of the database has the next turn. For little work: everybody else waits for it. */
export const urgently = <Found>(work: () => Promise<Found>): Promise<Found> => urgent.run(true, work);

/** So many urgent turns in a row, then one of the others: nobody waits for ever. */
const mostInARow = 20;

export interface Turns {
  /** Resolves with how to give the turn back. */
  take(isUrgent: boolean): Promise<() => void>;
}

export function createTurns(places: number): Turns {
  const waiting: { readonly urgent: (() => void)[]; readonly others: (() => void)[] } = { urgent: [], others: [] };
  let free = places;
  let inARow = 0;
  const pass = () => {
    const isOthers = waiting.urgent.length === 0 || (inARow >= mostInARow && waiting.others.length > 0);
    inARow = isOthers ? 0 : inARow + 1;
    const next = (isOthers ? waiting.others : waiting.urgent).shift();
    if (next === undefined) free++;
    else next();
  };
  return {
    take(isUrgent) {
      const giveBack = () => {
        let isOver = false;
        return () => {
          if (!isOver) pass();
          isOver = true;
        };
      };
      if (free > 0) {
        free--;
        return Promise.resolve(giveBack());
      }
      return new Promise((resolve) => (isUrgent ? waiting.urgent : waiting.others).push(() => resolve(giveBack())));
    },
  };
}

/** @param deadlineMs who waits longer for a turn gets DEADLINE_EXCEEDED. */
export function withTurns(dialect: Dialect, places: number, deadlineMs: number): Dialect {
  const turns = createTurns(places);
  return {
    createAdapter: () => dialect.createAdapter(),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createDriver: () => new TurnsDriver(dialect.createDriver(), turns, deadlineMs),
  };
}

class TurnsDriver implements Driver {
  readonly #inner: Driver;
  readonly #turns: Turns;
  readonly #deadlineMs: number;
  readonly #turnOf = new WeakMap<DatabaseConnection, () => void>();

  constructor(inner: Driver, turns: Turns, deadlineMs: number) {
    this.#inner = inner;
    this.#turns = turns;
    this.#deadlineMs = deadlineMs;
  }
  init(): Promise<void> {
    return this.#inner.init();
  }
  async acquireConnection(): Promise<DatabaseConnection> {
    const turn = this.#turns.take(urgent.getStore() === true);
    const giveBack = await withDeadline("waiting for a connection to the database", this.#deadlineMs, () => turn).catch(
      (caught: unknown) => {
        void turn.then((late) => late()); // whoever is next does not wait for this one
        throw caught;
      },
    );
    try {
      const connection = await this.#inner.acquireConnection();
      this.#turnOf.set(connection, giveBack);
      return connection;
    } catch (caught) {
      giveBack();
      throw caught;
    }
  }
  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    try {
      await this.#inner.releaseConnection(connection);
    } finally {
      this.#turnOf.get(connection)?.();
    }
  }
  beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    return this.#inner.beginTransaction(connection, settings);
  }
  commitTransaction(connection: DatabaseConnection): Promise<void> {
    return this.#inner.commitTransaction(connection);
  }
  rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    return this.#inner.rollbackTransaction(connection);
  }
  destroy(): Promise<void> {
    return this.#inner.destroy();
  }
}
