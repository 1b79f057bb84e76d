// Who may come in.
import type { Generated } from "kysely";

export type TokenRole = "viewer" | "operator" | "admin" | "agent";

export interface TokensTable {
  id: string;
  name: string;
  role: TokenRole;
  secret_sha256: string;
  created_at: Generated<Date>;
  expires_at: Date;
  used_at: Date | null;
  used_by: string | null;
  revoked_at: Date | null;
  node_id: string | null;
}

export type AccountRole = "viewer" | "operator" | "admin";

export interface AccountsTable {
  id: string;
  name: string;
  role: AccountRole;
  password_hash: string | null;
  issuer: string | null;
  subject: string | null;
  created_at: Date;
  signed_in_at: Date | null;
  disabled_at: Date | null;
}

export interface SessionsTable {
  id: string;
  account_id: string;
  secret_sha256: string;
  created_at: Date;
  seen_at: Date;
  expires_at: Date;
  source_address: string;
  user_agent: string;
  revoked_at: Date | null;
}

export interface SignInFailuresTable {
  name: string;
  failed_count: number;
  failed_at: Date;
  locked_until: Date | null;
}

export interface SignInLinksTable {
  secret_sha256: string;
  account_id: string | null;
  created_at: Date;
  expires_at: Date;
}
