// One-time links: a code that signs one browser in as an account, or, at the first start, makes the first admin. Taken in one statement:
// of two browsers with the same link, one gets in.
import { fault } from "@aether/contract";
import type { Kysely } from "kysely";
import type { Db } from "../db/database.ts";
import type { Database } from "../db/schema.ts";
import { hashSecret, newSecret } from "./secrets.ts";

export interface SignInLinks {
  /** `accountId` null: for the first admin; with the first account all of those are void (each control plane of several offers its own). */
  make(accountId: string | null, validMs: number): Promise<{ code: string; expiresAt: Date }>;
  /** Throws SIGN_IN_LINK_INVALID. */
  take(code: string, kind: "account" | "first admin", transaction?: Kysely<Database>): Promise<string | null>;
}

export function createSignInLinks(db: Db, nowMs: () => number): SignInLinks {
  return {
    async make(accountId, validMs) {
      const { secret, hash } = newSecret("al_");
      const expiresAt = new Date(nowMs() + validMs);
      await db.transaction().execute(async (tx) => {
        await tx.deleteFrom("sign_in_links").where("expires_at", "<", new Date(nowMs())).execute();
        await tx
          .insertInto("sign_in_links")
          .values({ secret_sha256: hash, account_id: accountId, created_at: new Date(nowMs()), expires_at: expiresAt })
          .execute();
      });
      return { code: secret, expiresAt };
    },
    async take(code, kind, transaction = db) {
      const taken = await transaction
        .deleteFrom("sign_in_links")
        .where("secret_sha256", "=", hashSecret(code))
        .where("expires_at", ">", new Date(nowMs()))
        .where("account_id", kind === "account" ? "is not" : "is", null)
        .returning("account_id")
        .executeTakeFirst();
      if (taken === undefined) throw fault("SIGN_IN_LINK_INVALID", undefined, { field: "code" });
      return taken.account_id;
    },
  };
}
