// For whom a run acts. Every act of a step is a call of our own handlers with the name and the role of whoever started the run, as long as that one's
// credential is good: who loses it, or its role, loses what runs for them. A run can never do what its starter could not.
import { Fault, fault, type Role } from "@aether/contract";
import { createContextValues } from "@connectrpc/connect";
import { isAllowed, roleName, roleOf, roleOfBearer } from "../access/roles.ts";
import { actionName } from "../audit/action-name.ts";
import type { Db } from "../db/database.ts";
import { type Caller, callerKey } from "../http/caller.ts";
import type { OwnCall } from "../http/own-call.ts";
import { continueTrace } from "../http/trace.ts";
import type { Ask } from "./acts/act.ts";
import type { RunRow } from "./store.ts";

/** What a caller's credential is called on record. Throws PERMISSION_DENIED where there is none to go by. */
export function credentialOf({ tokenId, session, actor }: Caller): string {
  if (session !== undefined) return `account/${session.account}`;
  if (tokenId !== undefined) return `token/${tokenId}`;
  throw fault("PERMISSION_DENIED", `a run needs an account or a token to act for; ${actor} is neither`);
}

/** The role that it has now; undefined: it is gone, expired or disabled. */
async function roleNow(db: Db, credential: string, nowMs: number): Promise<Role | undefined> {
  const [kind, ...rest] = credential.split("/");
  const key = rest.join("/");
  if (kind === "account") {
    const row = await db.selectFrom("accounts").select(["role", "disabled_at"]).where("name", "=", key).executeTakeFirst();
    return row === undefined || row.disabled_at !== null ? undefined : roleOfBearer[row.role];
  }
  const row = await db.selectFrom("tokens").select(["role", "revoked_at", "expires_at"]).where("id", "=", key).executeTakeFirst();
  if (row === undefined || row.role === "agent" || row.revoked_at !== null || row.expires_at.getTime() <= nowMs) return undefined;
  return roleOfBearer[row.role];
}

export interface StarterParts {
  readonly db: Db;
  /** Behind the gate, with the audit. */
  readonly act: OwnCall;
  readonly nowMs: () => number;
}

/** Asks for the run's starter; `cause` is on what the handlers make, and on the audit. */
export function askAs({ db, act, nowMs }: StarterParts, run: RunRow, cause: string, signal: AbortSignal): Ask {
  return async (method, message) => {
    const now = await roleNow(db, run.credential, nowMs());
    if (now === undefined)
      throw fault("PERMISSION_DENIED", `the credential of ${run.started_by}, for whom this run acts, is not good any more`, {
        hint: "Start another run with one that is.",
      });
    const role: Role = Math.min(roleOfBearer[run.role], now);
    if (!isAllowed(roleOf(method), role))
      throw fault(
        "PERMISSION_DENIED",
        `${actionName(method)} needs the role ${roleName(roleOf(method))}; ${run.started_by} has ${roleName(role)} now`,
      );
    const { traceId, traceparent } = continueTrace(`00-${run.trace_id}-${"1".padStart(16, "0")}-01`);
    const caller: Caller = {
      actor: run.started_by,
      role,
      nodeId: undefined,
      sourceAddress: run.source_address,
      traceId,
      traceparent,
      cause,
    };
    try {
      return await act(method, message, { values: createContextValues().set(callerKey, caller), signal });
    } catch (caught) {
      throw Fault.from(caught);
    }
  };
}
