// Sessions of browsers: a secret in an http-only cookie, its sha256 here. A session ends by age, by rest, by its owner, by an admin, or
// with its account; each request finds out at once in this process, within seconds in another.
import { fault } from "@aether/contract";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";
import type { AccountRole } from "../db/tables/access.ts";
import { newId } from "../ids.ts";
import { hashSecret, newSecret } from "./secrets.ts";

export interface SessionHolder {
  readonly sessionId: string;
  readonly account: string;
  readonly role: AccountRole;
}

export interface ListedSession extends Row<"sessions"> {
  readonly account: string;
}

export interface Sessions {
  /** The secret is in the answer and nowhere else. */
  open(accountId: string, from: { sourceAddress: string; userAgent: string }): Promise<{ secret: string; expiresAt: Date }>;
  /** Whose session this is; undefined when it is unknown or has ended. */
  authenticate(secret: string): Promise<SessionHolder | undefined>;
  /** Those that have not ended, newest first; of one account, or of all. */
  list(options: { account?: string; limit: number; after?: string | undefined }): Promise<ListedSession[]>;
  /** Throws SESSION_NOT_FOUND; also for a session of another account than the given one. */
  revoke(id: string, account?: string): Promise<void>;
  /** Every session of the account, but one. */
  revokeAll(account: string, exceptId?: string): Promise<void>;
  /** Something about accounts has changed: what is remembered is read again. */
  forget(): void;
  /** Sets the time at which the account last signed in. */
  readonly maxAgeMs: number;
}

const cacheMs = 5_000;
const seenEveryMs = 60_000;

export interface SessionLimits {
  /** From the sign-in. */
  readonly maxMs: number;
  /** Without a request. */
  readonly idleMs: number;
}

export function createSessions(db: Db, limits: SessionLimits, nowMs: () => number): Sessions {
  const cache = new Map<string, { row: Row<"sessions"> & SessionHolder; readAtMs: number }>();
  const living = () =>
    db
      .selectFrom("sessions")
      .innerJoin("accounts", "accounts.id", "sessions.account_id")
      .where("sessions.revoked_at", "is", null)
      .where("accounts.disabled_at", "is", null)
      .where("sessions.expires_at", ">", new Date(nowMs()))
      .where("sessions.seen_at", ">", new Date(nowMs() - limits.idleMs));

  const find = async (hash: string) => {
    const cached = cache.get(hash);
    if (cached && nowMs() - cached.readAtMs < cacheMs) return cached.row;
    cache.delete(hash);
    const row = await living()
      .where("sessions.secret_sha256", "=", hash)
      .selectAll("sessions")
      .select(["sessions.id as sessionId", "accounts.name as account", "accounts.role as role"])
      .executeTakeFirst();
    if (row === undefined) return undefined;
    if (cache.size > 1000) cache.clear();
    cache.set(hash, { row, readAtMs: nowMs() });
    return row;
  };

  return {
    maxAgeMs: limits.maxMs,
    forget: () => cache.clear(),
    async open(accountId, { sourceAddress, userAgent }) {
      const { secret, hash } = newSecret("as_");
      const now = new Date(nowMs());
      const expiresAt = new Date(nowMs() + limits.maxMs);
      await db.transaction().execute(async (tx) => {
        await tx
          .insertInto("sessions")
          .values({
            id: newId("ses", nowMs()),
            account_id: accountId,
            secret_sha256: hash,
            created_at: now,
            seen_at: now,
            expires_at: expiresAt,
            source_address: sourceAddress,
            user_agent: userAgent.slice(0, 300),
          })
          .execute();
        await tx.updateTable("accounts").set({ signed_in_at: now }).where("id", "=", accountId).execute();
        await tx.deleteFrom("sessions").where("expires_at", "<", now).execute();
      });
      return { secret, expiresAt };
    },
    async authenticate(secret) {
      if (!/^as_[A-Za-z0-9_-]{43}$/.test(secret)) return undefined;
      const row = await find(hashSecret(secret));
      if (row === undefined || row.expires_at.getTime() <= nowMs()) return undefined;
      if (nowMs() - row.seen_at.getTime() > seenEveryMs) {
        row.seen_at = new Date(nowMs());
        await db.updateTable("sessions").set({ seen_at: row.seen_at }).where("id", "=", row.id).execute();
      }
      return { sessionId: row.id, account: row.account, role: row.role };
    },
    list({ account, limit, after }) {
      let query = living().selectAll("sessions").select("accounts.name as account").orderBy("sessions.id", "desc").limit(limit);
      if (account !== undefined) query = query.where("accounts.name", "=", account);
      if (after !== undefined) query = query.where("sessions.id", "<", after);
      return query.execute();
    },
    async revoke(id, account) {
      const found = await living().select(["sessions.id", "accounts.name as account"]).where("sessions.id", "=", id).executeTakeFirst();
      if (found === undefined || (account !== undefined && found.account !== account)) {
        throw fault("SESSION_NOT_FOUND", `there is no session ${id.slice(0, 40)}`, { field: "id" });
      }
      await db
        .updateTable("sessions")
        .set({ revoked_at: new Date(nowMs()) })
        .where("id", "=", id)
        .execute();
      cache.clear();
    },
    async revokeAll(account, exceptId) {
      let query = db
        .updateTable("sessions")
        .set({ revoked_at: new Date(nowMs()) })
        .where("revoked_at", "is", null)
        .where("account_id", "in", (from) => from.selectFrom("accounts").select("id").where("name", "=", account));
      if (exceptId !== undefined) query = query.where("id", "!=", exceptId);
      await query.execute();
      cache.clear();
    },
  };
}
