// The runbooks that can be run: those that are built in, and versions as rows. A change is one new row and one event in one transaction.
import { fault, parseLabel } from "@aether/contract";
import { type Runbook, RunbookSchema } from "@aether/contract/gen/aether/v2/runbook_pb";
import type { Kysely } from "kysely";
import type { Db } from "../db/database.ts";
import { toColumn } from "../db/proto.ts";
import type { Database, Row } from "../db/schema.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { Events } from "../events/events.ts";
import type { Caller } from "../http/caller.ts";
import { cutPage, type Page } from "../http/page-request.ts";
import { builtIn } from "./built-in.ts";
import { parseRunbook } from "./definition.ts";
import { toRunbook } from "./store.ts";

export interface LibraryOptions {
  readonly db: Db;
  readonly events: Events;
  readonly nowMs: () => number;
}

export interface Library {
  /** @param version 0: the one that is run now. Throws RUNBOOK_NOT_FOUND. */
  find(name: string, version: number): Promise<Runbook>;
  list(page: Page): Promise<{ runbooks: Runbook[]; nextPageToken: string }>;
  /** The newest first. @param after a version; 0: from the newest on. Throws RUNBOOK_NOT_FOUND. */
  versions(name: string, page: { limit: number; after: number }): Promise<{ runbooks: Runbook[]; nextPageToken: string }>;
  /** Throws RUNBOOK_BUILT_IN. */
  refuseBuiltIn(name: string, field: string): void;
  /** Of one that was parsed. */
  set(runbook: Runbook, caller: Caller): Promise<Runbook>;
  /** Throws RUNBOOK_NOT_FOUND, RUNBOOK_BUILT_IN. */
  remove(name: string, caller: Caller): Promise<void>;
}

const mostRunbooks = 200;
/** The column holds no more; what is asked for beyond it is not there either. */
const newestPossible = 2 ** 31 - 1;

export function createLibrary({ db, events, nowMs }: LibraryOptions): Library {
  const notFound = (name: string, field: string) =>
    fault("RUNBOOK_NOT_FOUND", `there is no runbook ${JSON.stringify(name.slice(0, 60))}`, { field });
  const refuseBuiltIn = (name: string, field: string) => {
    if (builtIn.some((each) => each.name === name)) throw fault("RUNBOOK_BUILT_IN", `${name} comes with the control plane`, { field });
  };

  /** 0: the one that is run now. */
  async function find(name: string, version: number): Promise<Runbook> {
    parseLabel(name, "name");
    const own = builtIn.find((each) => each.name === name);
    if (own !== undefined) {
      if (version === 0 || version === own.version) return own;
    } else {
      const ofName = db.selectFrom("runbooks").selectAll().where("name", "=", name);
      const row = await (version === 0
        ? ofName.where("is_in_force", "=", true)
        : ofName.where("version", "=", Math.min(version, newestPossible))
      ).executeTakeFirst();
      if (row !== undefined) return toRunbook(row);
    }
    if (version === 0) throw notFound(name, "name");
    throw fault("RUNBOOK_NOT_FOUND", `there is no version ${version} of the runbook ${name}`, { field: "version" });
  }

  async function set(runbook: Runbook, caller: Caller): Promise<Row<"runbooks">> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await db.transaction().execute((tx) => setIn(tx, runbook, caller));
      } catch (caught) {
        // Somebody else made the same version in this very moment: this one is the next.
        if (!isUniqueViolation(caught) || attempt === 3) throw caught;
      }
    }
  }

  async function setIn(tx: Kysely<Database>, runbook: Runbook, { actor, traceId }: Caller): Promise<Row<"runbooks">> {
    const { name } = runbook;
    const versions = await tx.selectFrom("runbooks").selectAll().where("name", "=", name).orderBy("version", "desc").forUpdate().execute();
    const inForce = versions.find((row) => row.is_in_force);
    // The same again is no new version.
    if (inForce !== undefined && toColumn(RunbookSchema, parseRunbook(toRunbook(inForce))) === toColumn(RunbookSchema, runbook))
      return inForce;
    if (inForce === undefined) {
      const { count } = await tx
        .selectFrom("runbooks")
        .select(({ fn }) => fn.countAll<string>().as("count"))
        .where("is_in_force", "=", true)
        .executeTakeFirstOrThrow();
      if (Number(count) >= mostRunbooks)
        throw fault("PRECONDITION_FAILED", `there are ${mostRunbooks} runbooks already`, { hint: "Delete one that is not needed." });
    }
    await tx.updateTable("runbooks").set({ is_in_force: false }).where("name", "=", name).where("is_in_force", "=", true).execute();
    const version = (versions[0]?.version ?? 0) + 1;
    const row = await tx
      .insertInto("runbooks")
      .values({
        name,
        version,
        definition: toColumn(RunbookSchema, runbook),
        is_in_force: true,
        changed_at: new Date(nowMs()),
        changed_by: actor,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    const message = `${actor} has set the runbook ${name}, version ${version}`;
    await events.append(tx, { type: "runbook.set", subject: `runbook/${name}`, message, data: { version }, traceId });
    return row;
  }

  return {
    find,
    refuseBuiltIn,
    set: async (runbook, caller) => toRunbook(await set(runbook, caller)),
    async list({ limit, after = "" }) {
      const rows = await db.selectFrom("runbooks").selectAll().where("is_in_force", "=", true).where("name", ">", after).execute();
      const own = rows.filter(({ name }) => !builtIn.some((each) => each.name === name)).map(toRunbook);
      const all = [...own, ...builtIn.filter(({ name }) => name > after)].sort((a, b) => (a.name < b.name ? -1 : 1));
      const { rows: runbooks, nextPageToken } = cutPage(all, limit, ({ name }) => name);
      return { runbooks, nextPageToken };
    },
    async versions(name, { limit, after }) {
      const own = builtIn.find((each) => each.name === parseLabel(name, "name"));
      if (own !== undefined) return { runbooks: after === 0 ? [own] : [], nextPageToken: "" };
      let query = db
        .selectFrom("runbooks")
        .selectAll()
        .where("name", "=", name)
        .orderBy("version", "desc")
        .limit(limit + 1);
      if (after > 0) query = query.where("version", "<", Math.min(after, newestPossible));
      const found = await query.execute();
      if (found.length === 0 && after === 0) throw notFound(name, "name");
      const { rows, nextPageToken } = cutPage(found, limit, ({ version }) => version);
      return { runbooks: rows.map(toRunbook), nextPageToken };
    },
    async remove(name, { actor, traceId }) {
      parseLabel(name, "name");
      refuseBuiltIn(name, "name");
      await db.transaction().execute(async (tx) => {
        const gone = await tx
          .updateTable("runbooks")
          .set({ is_in_force: false })
          .where("name", "=", name)
          .where("is_in_force", "=", true)
          .returning("version")
          .executeTakeFirst();
        if (gone === undefined) throw notFound(name, "name");
        const message = `${actor} has deleted the runbook ${name}; its versions and runs stay readable`;
        await events.append(tx, { type: "runbook.deleted", subject: `runbook/${name}`, message, data: gone, traceId });
      });
    },
  };
}
