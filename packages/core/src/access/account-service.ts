// AccountService: who am I, my password, my sessions; for admins, everybody's.
import { fault, Role } from "@aether/contract";
import { AccountService, CallerSchema } from "@aether/contract/gen/aether/v2/account_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Audit } from "../audit/audit.ts";
import { type Caller, callerOf } from "../http/caller.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { accountRole, toAccount, toCaller, toSession } from "./account-messages.ts";
import type { Accounts } from "./accounts.ts";
import type { SignInLinks } from "./links.ts";
import { isAllowed } from "./roles.ts";
import type { Sessions } from "./sessions.ts";

const hourSeconds = 3_600;
const longestLinkSeconds = 7 * 86_400;

export interface AccountServiceOptions {
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly links: SignInLinks;
  readonly audit: Pick<Audit, "record">;
  /** Where traces can be looked at; undefined: nowhere. */
  readonly traceUrl: string | undefined;
}

export function accountRoutes(options: AccountServiceOptions): (router: ConnectRouter) => void {
  const { accounts, sessions, links, audit, traceUrl = "" } = options;
  /** What a viewer may change is their own; it is not in the audit interceptor's list of acts. */
  const tell = ({ actor, sourceAddress, traceId }: Caller, action: string, subject: string, outcome: "ok" | "failed") =>
    audit.record({ actor, sourceAddress, action, subject, outcome, traceId });

  return (router) =>
    router.service(AccountService, {
      async getCaller(_request, context) {
        const { actor, role, session } = callerOf(context);
        if (session === undefined) return { caller: create(CallerSchema, { actor, role }), traceUrl };
        return { caller: toCaller(await accounts.get(session.account)), traceUrl };
      },
      async changePassword({ currentPassword, newPassword }, context) {
        const caller = callerOf(context);
        if (caller.session === undefined) throw fault("PERMISSION_DENIED", "a token has no password; sign in with an account");
        const { account, id } = caller.session;
        try {
          await accounts.changePassword(account, currentPassword, newPassword);
          await sessions.revokeAll(account, id);
          await tell(caller, "account.change-password", `account/${account}`, "ok");
        } catch (caught) {
          await tell(caller, "account.change-password", `account/${account}`, "failed");
          throw caught;
        }
        return {};
      },
      async listSessions({ page, all }, context) {
        const caller = callerOf(context);
        if (all && !isAllowed(Role.ADMIN, caller.role))
          throw fault("PERMISSION_DENIED", "only an admin sees everybody's sessions", { field: "all" });
        const { limit, after } = parsePage(page);
        const whose = all ? {} : { account: caller.session?.account ?? "" };
        const { rows, nextPageToken } = cutPage(await sessions.list({ ...whose, limit: limit + 1, after }), limit, ({ id }) => id);
        return { sessions: rows.map((row) => toSession(row, caller.session?.id)), nextPageToken };
      },
      async revokeSession({ id }, context) {
        const caller = callerOf(context);
        await sessions.revoke(id, isAllowed(Role.ADMIN, caller.role) ? undefined : (caller.session?.account ?? ""));
        await tell(caller, "account.revoke-session", `session/${id}`, "ok");
        return {};
      },
      async listAccounts({ page }) {
        const { limit, after } = parsePage(page);
        const { rows, nextPageToken } = cutPage(await accounts.list(limit + 1, after), limit, ({ name }) => name);
        return {
          accounts: await Promise.all(rows.map(async (row) => toAccount(row, await accounts.lockedUntil(row.name)))),
          nextPageToken,
        };
      },
      async getAccount({ name }) {
        const account = await accounts.get(name);
        return { account: toAccount(account, await accounts.lockedUntil(account.name)) };
      },
      async createAccount({ name, role, password }) {
        return { account: toAccount(await accounts.add({ name, role: requireRole(role), password })) };
      },
      async updateAccount({ name, role, isDisabled }) {
        const change = {
          ...(role === Role.UNSPECIFIED ? {} : { role: requireRole(role) }),
          ...(isDisabled === undefined ? {} : { isDisabled }),
        };
        const account = await accounts.change(name, change);
        if (isDisabled) await sessions.revokeAll(name);
        sessions.forget();
        return { account: toAccount(account) };
      },
      async deleteAccount({ name }) {
        await accounts.remove(name);
        sessions.forget();
        return {};
      },
      async createSignInLink({ name, validSeconds }) {
        if (validSeconds > longestLinkSeconds)
          throw fault("INVALID_ARGUMENT", "valid_seconds is at most 7 days", { field: "valid_seconds" });
        const account = await accounts.get(name);
        if (account.disabled_at !== null) throw fault("INVALID_ARGUMENT", `the account "${name}" is disabled`, { field: "name" });
        const { code, expiresAt } = await links.make(account.id, (validSeconds || hourSeconds) * 1000);
        return { secret: code, expiresAt: timestampFromDate(expiresAt) };
      },
    });
}

function requireRole(role: Role) {
  const known = accountRole(role);
  if (known === undefined) throw fault("INVALID_ARGUMENT", "role must be viewer, operator or admin", { field: "role" });
  return known;
}
