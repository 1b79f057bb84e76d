// Rows of people as messages of the contract.
import { Role } from "@aether/contract";
import {
  type Account,
  AccountSchema,
  type Caller,
  CallerSchema,
  type Session,
  SessionSchema,
} from "@aether/contract/gen/aether/v2/account_pb";
import { create } from "@bufbuild/protobuf";
import { stamp } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import type { AccountRole } from "../db/tables/access.ts";
import { roleOfBearer } from "./roles.ts";
import type { ListedSession } from "./sessions.ts";

export function toAccount(row: Row<"accounts">, lockedUntil?: Date): Account {
  return create(AccountSchema, {
    name: row.name,
    role: roleOfBearer[row.role],
    ...stamp("createdAt", row.created_at),
    ...stamp("signedInAt", row.signed_in_at),
    isDisabled: row.disabled_at !== null,
    hasPassword: row.password_hash !== null,
    issuer: row.issuer ?? "",
    ...stamp("lockedUntil", lockedUntil ?? null),
  });
}

export const toCaller = (row: Row<"accounts">): Caller =>
  create(CallerSchema, { actor: `account/${row.name}`, role: roleOfBearer[row.role], account: toAccount(row) });

export function toSession(row: ListedSession, currentId: string | undefined): Session {
  return create(SessionSchema, {
    id: row.id,
    account: row.account,
    ...stamp("createdAt", row.created_at),
    ...stamp("seenAt", row.seen_at),
    ...stamp("expiresAt", row.expires_at),
    sourceAddress: row.source_address,
    userAgent: row.user_agent,
    isCurrent: row.id === currentId,
  });
}

const roles: Partial<Record<Role, AccountRole>> = { [Role.VIEWER]: "viewer", [Role.OPERATOR]: "operator", [Role.ADMIN]: "admin" };

/** Undefined for what is no role of a person. */
export const accountRole = (role: Role): AccountRole | undefined => roles[role];
