// One act of an operator or admin, from the request to its commit: the entry goes into the transaction that makes the act, whoever
// writes that transaction, and what must still hold of its resource (If-Match) is looked at in it, one act on a resource at a time. Part of db's
// commit hook, so no handler can forget it.
import { AsyncLocalStorage } from "node:async_hooks";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { CompiledQuery } from "kysely";
import { attempt, type CommitHook } from "../db/commit-hook.ts";
import type { ResourceState } from "../http/rest/resources.ts";
import type { Audit, NewAuditEntry } from "./audit.ts";

export interface Act {
  readonly entry: Omit<NewAuditEntry, "outcome">;
  /** What it is about; undefined: nothing that can be read. */
  readonly resource?: ActedOn | undefined;
}

export interface ActedOn {
  /** One act on it at a time: the name of the lock that its first transaction takes. */
  readonly key: string;
  /** As it was; undefined: it was not there. */
  readonly before: JsonValue | undefined;
  /** As it is now; undefined when it is gone. */
  read(): Promise<ResourceState | undefined>;
  /** What must still hold of it in the transaction; throws where it does not. */
  readonly require?: ((now: ResourceState | undefined) => void) | undefined;
}

export interface Acts extends CommitHook {
  /** Runs a handler. Answers whether its first transaction took the entry along. */
  run<Found>(act: Act, work: () => Promise<Found>): Promise<{ readonly isOnRecord: boolean; readonly result: PromiseSettledResult<Found> }>;
  /** The audit is made on the database that the hook belongs to. */
  useAudit(audit: Pick<Audit, "record">): void;
}

interface Running extends Act {
  isOnRecord: boolean;
  isOver: boolean;
}

export function createActs(): Acts {
  const running = new AsyncLocalStorage<Running>();
  let audit: Pick<Audit, "record"> | undefined;
  const waiting = () => {
    const act = running.getStore();
    return act === undefined || act.isOnRecord || act.isOver ? undefined : act;
  };
  return {
    useAudit(made) {
      audit = made;
    },
    async run(act, work) {
      const own: Running = { ...act, isOnRecord: false, isOver: false };
      const [result] = await Promise.allSettled([running.run(own, work)]);
      own.isOver = true; // what the handler woke may go on in this context, and is no act of this caller
      return { isOnRecord: own.isOnRecord, result };
    },
    async afterBegin(connection) {
      const { resource } = waiting() ?? {};
      if (resource === undefined) return;
      await connection.executeQuery(CompiledQuery.raw("select pg_advisory_xact_lock(hashtextextended($1, 0))", [resource.key]));
      resource.require?.(await resource.read());
    },
    wants: () => audit !== undefined && waiting() !== undefined,
    async beforeCommit(connection) {
      const act = waiting();
      if (act === undefined || audit === undefined) return;
      const { entry, resource } = act;
      const after = resource === undefined ? undefined : await attempt(connection, () => resource.read());
      await audit.record({ ...entry, outcome: "ok", data: { ...entry.data, ...difference(resource?.before, after?.json) } }, connection);
    },
    afterCommit() {
      const act = waiting();
      if (act !== undefined) act.isOnRecord = true;
    },
  };
}

/** What differs, by path, as it was and as it is: "isCordoned": false -> true. At most 40 paths, each value at most 300 characters. */
export function difference(before: JsonValue | undefined, after: JsonValue | undefined): { before?: JsonObject; after?: JsonObject } {
  const [old, now] = [flat(before), flat(after)];
  const paths = [...new Set([...old.keys(), ...now.keys()])].filter((path) => old.get(path) !== now.get(path)).slice(0, 40);
  if (paths.length === 0) return {};
  const pick = (from: ReadonlyMap<string, JsonValue>) =>
    Object.fromEntries(paths.flatMap((path) => (from.has(path) ? [[path, from.get(path) as JsonValue]] : [])));
  return { before: pick(old), after: pick(now) };
}

function flat(value: JsonValue | undefined, path = "", into = new Map<string, JsonValue>()): Map<string, JsonValue> {
  if (value === undefined || value === null) return into;
  if (typeof value === "object" && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flat(inner, path === "" ? key : `${path}.${key}`, into);
  } else {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    into.set(path, text.length > 300 ? `${text.slice(0, 300).toWellFormed()}…` : Array.isArray(value) ? text : value);
  }
  return into;
}
