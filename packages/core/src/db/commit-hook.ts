// A Kysely dialect that looks at something when a transaction begins, and says something more with it before it commits: what is written there is on
// record if, and only if, the rest is. A single statement that changes something becomes a transaction for it. Nothing is done unless the hook wants it.
import { AsyncLocalStorage } from "node:async_hooks";
import { CompiledQuery, type DatabaseConnection, type Dialect, type Driver, type QueryResult, type TransactionSettings } from "kysely";

export interface CommitHook {
  /** Is there something to say, in this asynchronous context? */
  wants(): boolean;
  /** In the transaction, before anything else; what it throws rolls back. Through the ordinary handle it reads what the transaction sees. */
  afterBegin(connection: Pick<DatabaseConnection, "executeQuery">): Promise<void>;
  /** In the transaction, before its commit; what it throws rolls back. Through the ordinary handle it reads what the transaction sees. */
  beforeCommit(connection: Pick<DatabaseConnection, "executeQuery">): Promise<void>;
  afterCommit(): void;
}

export function withCommitHook(dialect: Dialect, hook: CommitHook): Dialect {
  return {
    createAdapter: () => dialect.createAdapter(),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createDriver: () => new HookedDriver(dialect.createDriver(), hook),
  };
}

class HookedDriver implements Driver {
  readonly #inner: Driver;
  readonly #hook: CommitHook;
  /** The connection of the transaction whose hook runs in this asynchronous context. */
  readonly #inside = new AsyncLocalStorage<HookedConnection>();

  constructor(inner: Driver, hook: CommitHook) {
    this.#inner = inner;
    this.#hook = hook;
  }
  init(): Promise<void> {
    return this.#inner.init();
  }
  async acquireConnection(): Promise<HookedConnection> {
    return this.#inside.getStore() ?? new HookedConnection(await this.#inner.acquireConnection(), this);
  }
  async releaseConnection(connection: HookedConnection): Promise<void> {
    if (this.#inside.getStore() !== connection) await this.#inner.releaseConnection(connection.inner);
  }
  async beginTransaction(connection: HookedConnection, settings: TransactionSettings): Promise<void> {
    if (this.#inside.getStore() !== undefined) throw new Error("a commit hook reads; it begins no transaction");
    await this.#inner.beginTransaction(connection.inner, settings);
    connection.isInTransaction = true;
    if (!this.#hook.wants()) return;
    try {
      await this.#inside.run(connection, () => this.#hook.afterBegin(connection.inner));
    } catch (caught) {
      await this.rollbackTransaction(connection); // who begins a transaction in vain does not end it
      throw caught;
    }
  }
  async commitTransaction(connection: HookedConnection): Promise<void> {
    const isWanted = this.#hook.wants();
    if (isWanted) await this.#inside.run(connection, () => this.#hook.beforeCommit(connection.inner));
    await this.#inner.commitTransaction(connection.inner);
    connection.isInTransaction = false;
    if (isWanted) this.#hook.afterCommit();
  }
  async rollbackTransaction(connection: HookedConnection): Promise<void> {
    connection.isInTransaction = false;
    await this.#inner.rollbackTransaction(connection.inner);
  }
  destroy(): Promise<void> {
    return this.#inner.destroy();
  }

  async execute<Found>(connection: HookedConnection, query: CompiledQuery): Promise<QueryResult<Found>> {
    if (connection.isInTransaction || this.#inside.getStore() !== undefined || !changes(query) || !this.#hook.wants()) {
      return connection.inner.executeQuery(query);
    }
    await this.beginTransaction(connection, {});
    try {
      const result = await connection.inner.executeQuery<Found>(query);
      await this.commitTransaction(connection);
      return result;
    } catch (caught) {
      await this.rollbackTransaction(connection);
      throw caught;
    }
  }
}

class HookedConnection implements DatabaseConnection {
  readonly inner: DatabaseConnection;
  readonly #driver: HookedDriver;
  isInTransaction = false;
  constructor(inner: DatabaseConnection, driver: HookedDriver) {
    this.inner = inner;
    this.#driver = driver;
  }
  executeQuery<Found>(query: CompiledQuery): Promise<QueryResult<Found>> {
    return this.#driver.execute(this, query);
  }
  streamQuery<Found>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<Found>> {
    return this.inner.streamQuery(query, chunkSize);
  }
}

function changes({ query, sql }: CompiledQuery): boolean {
  if (query.kind === "RawNode") return /\b(insert|update|delete|merge)\b/i.test(sql);
  return /^(Insert|Update|Delete|Merge)QueryNode$/.test(query.kind);
}

/** A part of a transaction that may fail without failing it. */
export async function attempt<Found>(
  connection: Pick<DatabaseConnection, "executeQuery">,
  work: () => Promise<Found>,
): Promise<Found | undefined> {
  await connection.executeQuery(CompiledQuery.raw("savepoint attempt"));
  try {
    const found = await work();
    await connection.executeQuery(CompiledQuery.raw("release savepoint attempt"));
    return found;
  } catch {
    await connection.executeQuery(CompiledQuery.raw("rollback to savepoint attempt"));
    return undefined; // its failure is the caller's choice to live without it
  }
}
