// SignInService: from an unknown browser to a session. Each way ends in the same place: a new session, its cookie, a line in the audit log.
import { Fault, fault } from "@aether/contract";
import { type Caller as CallerMessage, SignInService } from "@aether/contract/gen/aether/v2/account_pb";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { sql } from "kysely";
import type { Audit, NewAuditEntry } from "../audit/audit.ts";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";
import { type Origin, originKey } from "../http/origin.ts";
import { toCaller } from "./account-messages.ts";
import type { Accounts } from "./accounts.ts";
import type { SignInLinks } from "./links.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { Sessions } from "./sessions.ts";

export interface SignInOptions {
  readonly db: Db;
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly links: SignInLinks;
  readonly audit: Pick<Audit, "record">;
  /** A password costs the control plane tens of milliseconds: few tries for each address. */
  readonly perAddress: RateLimit;
  /** What the button of the OIDC provider says; empty: there is none. */
  readonly oidcName: string;
}

/** Any number, the same in every process: two first admins at once must not be. */
const firstAdminLock = 4_150_007;

export function signInRoutes(options: SignInOptions): (router: ConnectRouter) => void {
  const { db, accounts, sessions, links, audit, perAddress, oidcName } = options;

  /** Runs one way in, for our own page only, and tells the audit log how it ended. */
  const enter = async (
    context: HandlerContext,
    how: Pick<NewAuditEntry, "action" | "subject">,
    way: () => Promise<Row<"accounts">>,
  ): Promise<{ caller: CallerMessage }> => {
    const origin = originIn(context);
    const tell = (entry: Pick<NewAuditEntry, "actor" | "outcome" | "data">) =>
      audit.record({ ...how, ...entry, sourceAddress: origin.sourceAddress, traceId: origin.trace.traceId });
    try {
      if (!origin.browser.isSameOrigin) throw fault("CROSS_SITE");
      const waitSeconds = perAddress.take(origin.sourceAddress);
      if (waitSeconds > 0) {
        throw fault("RATE_LIMITED", `too many sign-ins from this address; try again in ${waitSeconds} s`, {
          details: { retryAfterSeconds: String(waitSeconds) },
        });
      }
      const account = await way();
      const { secret } = await sessions.open(account.id, { sourceAddress: origin.sourceAddress, userAgent: origin.browser.userAgent });
      context.responseHeader.set("set-cookie", origin.browser.setCookie(secret, sessions.maxAgeMs));
      await tell({ actor: `account/${account.name}`, outcome: "ok" });
      return { caller: toCaller(account) };
    } catch (caught) {
      const problem = Fault.from(caught);
      // A flood that was refused unread is not worth a line each.
      if (problem.code !== "RATE_LIMITED")
        await tell({ actor: "anonymous", outcome: problem.code === "INTERNAL" ? "failed" : "denied", data: { code: problem.code } });
      throw caught;
    }
  };

  return (router) =>
    router.service(SignInService, {
      listSignInMethods: async () => ({ hasAccounts: await accounts.any(), oidcName }),
      signIn: ({ name, password }, context) =>
        enter(context, { action: "session.sign-in", subject: `account/${printable(name)}` }, () => accounts.signIn(name, password)),
      redeemLink: ({ code }, context) =>
        enter(context, { action: "session.redeem-link", subject: "session" }, async () => {
          const accountId = await links.take(code, "account");
          const account = await db
            .selectFrom("accounts")
            .selectAll()
            .where("id", "=", accountId)
            .where("disabled_at", "is", null)
            .executeTakeFirst();
          if (account === undefined) throw fault("SIGN_IN_LINK_INVALID", undefined, { field: "code" });
          return account;
        }),
      createFirstAdmin: ({ code, name, password }, context) =>
        enter(context, { action: "account.create-first-admin", subject: `account/${printable(name)}` }, () =>
          db.transaction().execute(async (tx) => {
            await sql`select pg_advisory_xact_lock(${firstAdminLock}::bigint)`.execute(tx);
            if (password === "") throw fault("PASSWORD_WEAK", "the first admin needs a password", { field: "password" });
            await links.take(code, "first admin", tx);
            if (await tx.selectFrom("accounts").select("id").limit(1).executeTakeFirst()) throw fault("SIGN_IN_LINK_INVALID");
            return accounts.add({ name, role: "admin", password }, tx);
          }),
        ),
      async signOut(_request, context) {
        const { browser, sourceAddress, trace } = originIn(context);
        if (!browser.isSameOrigin) throw fault("CROSS_SITE");
        const holder = browser.sessionSecret === undefined ? undefined : await sessions.authenticate(browser.sessionSecret);
        context.responseHeader.set("set-cookie", browser.setCookie("", 0));
        if (holder === undefined) return {};
        await sessions.revoke(holder.sessionId);
        const subject = `account/${holder.account}`;
        await audit.record({ actor: subject, action: "session.sign-out", subject, outcome: "ok", sourceAddress, traceId: trace.traceId });
        return {};
      },
    });
}

function originIn(context: Pick<HandlerContext, "values">): Origin {
  const origin = context.values.get(originKey);
  if (origin === undefined) throw new Error("request without an origin");
  return origin;
}

const printable = (name: string): string => name.replace(/[^\x21-\x7e]/g, "?").slice(0, 63);
