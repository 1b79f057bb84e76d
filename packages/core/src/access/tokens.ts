// Bearer tokens and join tokens. 256 random bits; only the sha256 is kept, so neither salt nor a slow hash is needed.
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { fault } from "@aether/contract";
import { hashJoinSecret, parseJoinToken } from "@aether/kit/identity";
import type { Kysely } from "kysely";
import type { Db } from "../db/database.ts";
import type { Database, Row } from "../db/schema.ts";
import type { TokenRole } from "../db/tables/access.ts";
import { newId } from "../ids.ts";

export type BearerRole = Exclude<TokenRole, "agent">;

export interface Bearer {
  readonly id: string;
  readonly name: string;
  readonly role: BearerRole;
}

/** Of a client without a certificate that speaks for one node. */
export interface NodeBearer {
  readonly id: string;
  readonly name: string;
  readonly role: "agent";
  readonly nodeId: string;
}

export interface Tokens {
  /** The secret is in the answer and nowhere else. */
  createBearer(name: string, role: BearerRole, validMs: number): Promise<{ row: Row<"tokens">; secret: string }>;
  /** One with which a client without a certificate speaks for this node alone. */
  createNodeBearer(name: string, nodeId: string, validMs: number): Promise<{ row: Row<"tokens">; secret: string }>;
  /** Keeps the hash of a join token made with the authority's pin. */
  addJoin(name: string, secretHash: string, validMs: number): Promise<Row<"tokens">>;
  list(limit: number, after: string | undefined): Promise<Row<"tokens">[]>;
  /** Throws TOKEN_NOT_FOUND. Revoking twice changes nothing. */
  revoke(id: string): Promise<Row<"tokens">>;
  /** Who holds this secret; undefined when it is unknown, revoked or expired. */
  authenticate(secret: string): Promise<Bearer | NodeBearer | undefined>;
  /** Uses a join token up, in the caller's transaction, so that it is used exactly if the node is registered. Throws JOIN_TOKEN_INVALID. */
  consumeJoin(transaction: Kysely<Database>, joinToken: string, nodeId: string): Promise<void>;
}

/** How long an answer may be reused: a revocation through this process takes effect at once. */
const cacheMs = 5_000;
/** `used_at` is for people; once a minute is enough. */
const usedEveryMs = 60_000;

export function createTokens(db: Db, nowMs: () => number): Tokens {
  const cache = new Map<string, { row: Row<"tokens">; readAtMs: number }>();

  const insert = async (name: string, role: TokenRole, secretHash: string, validMs: number, nodeId: string | null = null) =>
    db
      .insertInto("tokens")
      .values({
        id: newId("tok", nowMs()),
        name,
        role,
        secret_sha256: secretHash,
        created_at: new Date(nowMs()),
        expires_at: new Date(nowMs() + validMs),
        node_id: nodeId,
      })
      .returningAll()
      .executeTakeFirstOrThrow();

  const find = async (hash: string) => {
    const cached = cache.get(hash);
    if (cached && nowMs() - cached.readAtMs < cacheMs) return cached.row;
    const row = await db.selectFrom("tokens").selectAll().where("secret_sha256", "=", hash).executeTakeFirst();
    if (row === undefined) return undefined;
    if (cache.size > 1000) cache.clear();
    cache.set(hash, { row, readAtMs: nowMs() });
    return row;
  };

  return {
    async createBearer(name, role, validMs) {
      const secret = `at_${randomBytes(32).toString("base64url")}`;
      return { row: await insert(name, role, hashOf(secret), validMs), secret };
    },
    async createNodeBearer(name, nodeId, validMs) {
      const secret = `at_${randomBytes(32).toString("base64url")}`;
      return { row: await insert(name, "agent", hashOf(secret), validMs, nodeId), secret };
    },
    addJoin: (name, secretHash, validMs) => insert(name, "agent", secretHash, validMs),
    async list(limit, after) {
      let query = db.selectFrom("tokens").selectAll().orderBy("id", "desc").limit(limit);
      if (after !== undefined) query = query.where("id", "<", after);
      return query.execute();
    },
    async revoke(id) {
      const row = await db
        .updateTable("tokens")
        .set((eb) => ({ revoked_at: eb.fn.coalesce("revoked_at", eb.val(new Date(nowMs()))) }))
        .where("id", "=", id)
        .returningAll()
        .executeTakeFirst();
      if (row === undefined) throw fault("TOKEN_NOT_FOUND", `there is no token ${id}`, { field: "id" });
      cache.delete(row.secret_sha256);
      return row;
    },
    async authenticate(secret) {
      if (!/^at_[A-Za-z0-9_-]{43}$/.test(secret)) return undefined;
      const hash = hashOf(secret);
      const row = await find(hash);
      if (row === undefined || !isSame(row.secret_sha256, hash) || (row.role === "agent" && row.node_id === null)) return undefined;
      if (row.revoked_at !== null || row.expires_at.getTime() <= nowMs()) return undefined;
      if (nowMs() - (row.used_at?.getTime() ?? 0) > usedEveryMs) {
        row.used_at = new Date(nowMs());
        await db.updateTable("tokens").set({ used_at: row.used_at }).where("id", "=", row.id).execute();
      }
      if (row.role !== "agent") return { id: row.id, name: row.name, role: row.role };
      return row.node_id === null ? undefined : { id: row.id, name: row.name, role: row.role, nodeId: row.node_id };
    },
    async consumeJoin(transaction, joinToken, nodeId) {
      const { secret } = parseJoinToken(joinToken);
      const used = await transaction
        .updateTable("tokens")
        .set({ used_at: new Date(nowMs()), used_by: nodeId })
        .where("secret_sha256", "=", hashJoinSecret(secret))
        .where("role", "=", "agent")
        .where("node_id", "is", null)
        .where("used_at", "is", null)
        .where("revoked_at", "is", null)
        .where("expires_at", ">", new Date(nowMs()))
        .returning("id")
        .executeTakeFirst();
      if (used === undefined) throw fault("JOIN_TOKEN_INVALID", "the join token is unknown, used or expired", { field: "join_token" });
    },
  };
}

const hashOf = (secret: string): string => createHash("sha256").update(secret, "utf8").digest("base64url");

/** The index has found the row by its hash; the comparison that decides takes the same time whatever differs. */
const isSame = (a: string, b: string): boolean => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
