// Things of which every version that was ever in force stays readable: policies, runbooks. A change is one new row and one event in one transaction; the same
// again is no new version. Of a name at most one version is in force (a unique index holds that), and none once it is deleted.
import { type FaultCode, fault, parseLabel } from "@aether/contract";
import type { Kysely } from "kysely";
import type { Db } from "../db/database.ts";
import type { Database, NewRow, Row } from "../db/schema.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { Events } from "../events/events.ts";
import type { Caller } from "../http/caller.ts";
import { cutPage, type Page } from "../http/page-request.ts";

export type VersionedTable = "policies" | "runbooks";
/** What a version says, beside what all of them have. */
export type Content<Table extends VersionedTable> = Omit<NewRow<Table>, "name" | "version" | "is_in_force" | "changed_at" | "changed_by">;

export interface VersionsOptions<Table extends VersionedTable> {
  readonly db: Db;
  readonly events: Events;
  readonly nowMs: () => number;
  readonly table: Table;
  /** For people, e.g. policy; also the subject and the type of its events. */
  readonly noun: string;
  readonly plural: string;
  readonly notFound: FaultCode;
  /** What stays when one is deleted, for people. */
  readonly stays: (versions: number) => string;
}

export interface Versions<Table extends VersionedTable> {
  /** @param version 0: the one in force. Throws `notFound`, INVALID_ARGUMENT. */
  read(name: string, version: number): Promise<Row<Table>>;
  /** Those in force, by name; with a page, only its rows and one more. */
  inForce(page?: Page): Promise<Row<Table>[]>;
  /** The newest first. @param after a version; 0: from the newest on. Throws `notFound`, INVALID_ARGUMENT. */
  ofName(name: string, page: { readonly limit: number; readonly after: number }): Promise<{ rows: Row<Table>[]; nextPageToken: string }>;
  /** 0: there was none. */
  newest(name: string): Promise<number>;
  /** @param isSame does this version say the same already? Throws PRECONDITION_FAILED where there are too many. */
  set(name: string, content: Content<Table>, caller: Caller, isSame: (inForce: Row<Table>) => boolean): Promise<Row<Table>>;
  /** Throws `notFound`, INVALID_ARGUMENT. */
  remove(name: string, caller: Caller): Promise<void>;
}

const most = 200;
/** The column holds no more; what is asked for beyond it is not there either. */
const newestPossible = 2 ** 31 - 1;

export function createVersions<Table extends VersionedTable>(options: VersionsOptions<Table>): Versions<Table> {
  const { db, events, nowMs, noun, plural, notFound: code, stays } = options;
  // Only columns that all of the tables have are named here; which of them it is, the row's type says.
  const table = options.table as "policies";
  const typed = (row: Row<"policies">) => row as unknown as Row<Table>;

  const notFound = (name: string) => fault(code, `there is no ${noun} ${JSON.stringify(name.slice(0, 60))}`, { field: "name" });
  const ofName = (name: string, from: Kysely<Database> = db) =>
    from.selectFrom(table).selectAll().where("name", "=", name).orderBy("version", "desc");

  async function setIn(
    tx: Kysely<Database>,
    name: string,
    content: Content<Table>,
    { actor, traceId }: Caller,
    isSame: (inForce: Row<Table>) => boolean,
  ): Promise<Row<Table>> {
    const versions = await ofName(name, tx).forUpdate().execute();
    const inForce = versions.find((row) => row.is_in_force);
    if (inForce !== undefined && isSame(typed(inForce))) return typed(inForce);
    if (inForce === undefined) {
      const { count } = await tx
        .selectFrom(table)
        .select(({ fn }) => fn.countAll<string>().as("count"))
        .where("is_in_force", "=", true)
        .executeTakeFirstOrThrow();
      if (Number(count) >= most)
        throw fault("PRECONDITION_FAILED", `there are ${most} ${plural} already`, { hint: "Delete one that is not needed." });
    }
    await tx.updateTable(table).set({ is_in_force: false }).where("name", "=", name).where("is_in_force", "=", true).execute();
    const version = (versions[0]?.version ?? 0) + 1;
    const common = { name, version, is_in_force: true, changed_at: new Date(nowMs()), changed_by: actor };
    const row = await tx
      .insertInto(table)
      .values({ ...content, ...common } as unknown as NewRow<"policies">)
      .returningAll()
      .executeTakeFirstOrThrow();
    const message = `${actor} has set the ${noun} ${name}, version ${version}`;
    await events.append(tx, { type: `${noun}.set`, subject: `${noun}/${name}`, message, data: { version }, traceId });
    return typed(row);
  }

  return {
    async read(name, version) {
      const all = ofName(parseLabel(name, "name"));
      const row = await (version === 0
        ? all.where("is_in_force", "=", true)
        : all.where("version", "=", Math.min(version, newestPossible))
      ).executeTakeFirst();
      if (row !== undefined) return typed(row);
      if (version === 0) throw notFound(name);
      throw fault(code, `there is no version ${version} of the ${noun} ${name}`, { field: "version" });
    },
    async inForce(page) {
      let query = db.selectFrom(table).selectAll().where("is_in_force", "=", true).orderBy("name");
      if (page !== undefined) query = query.limit(page.limit + 1);
      if (page?.after !== undefined) query = query.where("name", ">", page.after);
      return (await query.execute()).map(typed);
    },
    async ofName(name, { limit, after }) {
      let query = ofName(parseLabel(name, "name")).limit(limit + 1);
      if (after > 0) query = query.where("version", "<", Math.min(after, newestPossible));
      const found = await query.execute();
      if (found.length === 0 && after === 0) throw notFound(name);
      const { rows, nextPageToken } = cutPage(found, limit, ({ version }) => version);
      return { rows: rows.map(typed), nextPageToken };
    },
    newest: async (name) => (await ofName(name).limit(1).executeTakeFirst())?.version ?? 0,
    async set(name, content, caller, isSame) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await db.transaction().execute((tx) => setIn(tx, name, content, caller, isSame));
        } catch (caught) {
          // Somebody else made the same version in this very moment: this one is the next.
          if (!isUniqueViolation(caught) || attempt === 3) throw caught;
        }
      }
    },
    async remove(name, { actor, traceId }) {
      parseLabel(name, "name");
      await db.transaction().execute(async (tx) => {
        const gone = await tx
          .updateTable(table)
          .set({ is_in_force: false })
          .where("name", "=", name)
          .where("is_in_force", "=", true)
          .returning("version")
          .executeTakeFirst();
        if (gone === undefined) throw notFound(name);
        const message = `${actor} has deleted the ${noun} ${name}; ${stays(gone.version)}`;
        await events.append(tx, { type: `${noun}.deleted`, subject: `${noun}/${name}`, message, data: gone, traceId });
      });
    },
  };
}
