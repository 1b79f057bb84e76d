// Accounts of people as rows, and whether a password is theirs. Too many wrong passwords lock the name for a while, longer each time;
// a one-time link of an admin still lets its owner in.
import { fault } from "@aether/contract";
import type { Kysely } from "kysely";
import type { Db } from "../db/database.ts";
import type { Database, Row } from "../db/schema.ts";
import type { AccountRole } from "../db/tables/access.ts";
import { newId } from "../ids.ts";
import { checkPassword, hashPassword, isPassword } from "./passwords.ts";

type Account = Row<"accounts">;

export interface Accounts {
  any(): Promise<boolean>;
  list(limit: number, after: string | undefined): Promise<Account[]>;
  /** Throws ACCOUNT_NOT_FOUND. */
  get(name: string): Promise<Account>;
  /** Throws ACCOUNT_EXISTS, INVALID_ARGUMENT, PASSWORD_WEAK. In the transaction that is given, or by itself. */
  add(account: NewAccount, transaction?: Kysely<Database>): Promise<Account>;
  /** The account that the issuer vouches for; made at its first sign-in, and given the role that the issuer says at each. */
  vouchedFor(account: { issuer: string; subject: string; name: string; role: AccountRole }): Promise<Account>;
  /** Throws ACCOUNT_NOT_FOUND, LAST_ADMIN. */
  change(name: string, change: { role?: AccountRole; isDisabled?: boolean }): Promise<Account>;
  /** Throws ACCOUNT_NOT_FOUND, LAST_ADMIN. */
  remove(name: string): Promise<Account>;
  /** Throws SIGN_IN_REFUSED, SIGN_IN_LOCKED. */
  signIn(name: string, password: string): Promise<Account>;
  /** Throws SIGN_IN_REFUSED when the current one is wrong, SIGN_IN_LOCKED, PASSWORD_WEAK. */
  changePassword(name: string, current: string, next: string): Promise<void>;
  /** Until when wrong passwords keep everybody out. */
  lockedUntil(name: string): Promise<Date | undefined>;
}

export interface NewAccount {
  readonly name: string;
  readonly role: AccountRole;
  /** Empty: none. */
  readonly password: string;
}

const freeTries = 5;
const firstLockMs = 30_000;
const longestLockMs = 15 * 60_000;
/** After this long without a wrong password the count begins anew. */
const forgetMs = 24 * 3_600_000;

export function createAccounts(db: Db, nowMs: () => number): Accounts {
  const find = (name: string) => db.selectFrom("accounts").selectAll().where("name", "=", name).executeTakeFirst();
  const get: Accounts["get"] = async (name) => (await find(name)) ?? notFound(name);

  /** A try is counted before the password is looked at: tries that come at once do not slip through. */
  const takeTry = async (name: string) => {
    const now = nowMs();
    const row = await db.transaction().execute(async (tx) => {
      const before = await tx.selectFrom("sign_in_failures").selectAll().where("name", "=", name).forUpdate().executeTakeFirst();
      if (before?.locked_until && before.locked_until.getTime() > now) return { ...before, isRefused: true };
      const isFresh = before === undefined || before.failed_at.getTime() < now - forgetMs;
      const count = isFresh ? 1 : before.failed_count + 1;
      const lockMs = count < freeTries ? 0 : Math.min(longestLockMs, firstLockMs * 2 ** Math.min(20, count - freeTries));
      const next = { failed_count: count, failed_at: new Date(now), locked_until: lockMs === 0 ? null : new Date(now + lockMs) };
      await tx
        .insertInto("sign_in_failures")
        .values({ name, ...next })
        .onConflict((conflict) => conflict.column("name").doUpdateSet(next))
        .execute();
      await tx
        .deleteFrom("sign_in_failures")
        .where("failed_at", "<", new Date(now - forgetMs))
        .execute();
      return { ...next, isRefused: false };
    });
    if (!row.isRefused || row.locked_until === null) return;
    const seconds = Math.ceil((row.locked_until.getTime() - now) / 1000);
    throw fault("SIGN_IN_LOCKED", `too many wrong passwords for this name; try again in ${seconds} s`, {
      details: { retryAfterSeconds: String(seconds) },
    });
  };

  const signIn: Accounts["signIn"] = async (name, password) => {
    await takeTry(name.slice(0, 100));
    const account = await find(name);
    const isRight = await isPassword(password, account?.password_hash ?? null);
    if (!isRight || account === undefined || account.disabled_at !== null) throw fault("SIGN_IN_REFUSED");
    await db.deleteFrom("sign_in_failures").where("name", "=", name).execute();
    return account;
  };

  /** Runs a change that must leave an admin who can sign in. */
  const leavingAnAdmin = (name: string, change: (tx: Kysely<Database>, before: Account) => Promise<Account>) =>
    db.transaction().execute(async (tx) => {
      const admins = await tx
        .selectFrom("accounts")
        .select("name")
        .where("role", "=", "admin")
        .where("disabled_at", "is", null)
        .forUpdate()
        .execute();
      const before = await tx.selectFrom("accounts").selectAll().where("name", "=", name).forUpdate().executeTakeFirst();
      if (before === undefined) return notFound(name);
      const after = await change(tx, before);
      const isAdminStill = after.role === "admin" && after.disabled_at === null;
      if (!isAdminStill && admins.length === 1 && admins[0]?.name === name) throw fault("LAST_ADMIN");
      return after;
    });

  return {
    get,
    signIn,
    async any() {
      return (await db.selectFrom("accounts").select("id").limit(1).executeTakeFirst()) !== undefined;
    },
    list(limit, after) {
      const query = db.selectFrom("accounts").selectAll().orderBy("name").limit(limit);
      return (after === undefined ? query : query.where("name", ">", after)).execute();
    },
    async add({ name, role, password }, transaction = db) {
      if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(name)) {
        throw fault("INVALID_ARGUMENT", "name must be 1 to 63 of a-z, 0-9, dot, dash and underscore", { field: "name" });
      }
      if (password !== "") checkPassword(password, name, "password");
      const row = await transaction
        .insertInto("accounts")
        .values({
          id: newId("acc", nowMs()),
          name,
          role,
          password_hash: password === "" ? null : await hashPassword(password),
          created_at: new Date(nowMs()),
        })
        .onConflict((conflict) => conflict.column("name").doNothing())
        .returningAll()
        .executeTakeFirst();
      if (row === undefined) throw fault("ACCOUNT_EXISTS", `there is an account "${name}"`, { field: "name" });
      return row;
    },
    async vouchedFor({ issuer, subject, name, role }) {
      const known = await db
        .updateTable("accounts")
        .set({ role })
        .where("issuer", "=", issuer)
        .where("subject", "=", subject)
        .returningAll()
        .executeTakeFirst();
      if (known !== undefined) return known;
      // A name that is taken by another account is never taken over: the newcomer gets a number.
      for (let i = 1; i < 100; i++) {
        const row = await db
          .insertInto("accounts")
          .values({
            id: newId("acc", nowMs()),
            name: i === 1 ? name : `${name.slice(0, 58)}-${i}`,
            role,
            issuer,
            subject,
            created_at: new Date(nowMs()),
          })
          .onConflict((conflict) => conflict.doNothing())
          .returningAll()
          .executeTakeFirst();
        if (row !== undefined) return row;
      }
      throw fault("ACCOUNT_EXISTS", `there are too many accounts named "${name}"`);
    },
    change: (name, { role, isDisabled }) =>
      leavingAnAdmin(name, (tx, before) =>
        tx
          .updateTable("accounts")
          .set({
            role: role ?? before.role,
            disabled_at: isDisabled === undefined ? before.disabled_at : isDisabled ? (before.disabled_at ?? new Date(nowMs())) : null,
          })
          .where("name", "=", name)
          .returningAll()
          .executeTakeFirstOrThrow(),
      ),
    remove: (name) =>
      leavingAnAdmin(name, async (tx, before) => {
        await tx.deleteFrom("accounts").where("name", "=", name).execute();
        return { ...before, disabled_at: new Date(nowMs()) };
      }),
    async changePassword(name, current, next) {
      const account = await get(name);
      if (account.password_hash !== null) await signIn(name, current);
      checkPassword(next, name, "new_password");
      await db
        .updateTable("accounts")
        .set({ password_hash: await hashPassword(next) })
        .where("name", "=", name)
        .execute();
    },
    async lockedUntil(name) {
      const row = await db
        .selectFrom("sign_in_failures")
        .select("locked_until")
        .where("name", "=", name)
        .where("locked_until", ">", new Date(nowMs()))
        .executeTakeFirst();
      return row?.locked_until ?? undefined;
    },
  };
}

function notFound(name: string): never {
  throw fault("ACCOUNT_NOT_FOUND", `there is no account "${name.slice(0, 63)}"`, { field: "name" });
}
