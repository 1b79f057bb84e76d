// Who may come in, put together: tokens, accounts and their browser sessions, and the routes by which people sign in and are looked after.
import { join } from "node:path";
import type { Clock, Logger } from "@aether/kit";
import type { Authority } from "@aether/kit/identity";
import type { FastifyInstance } from "fastify";
import type { Audit } from "../audit/audit.ts";
import type { CoreConfig } from "../config.ts";
import type { Db } from "../db/database.ts";
import type { Part } from "../part.ts";
import { accountRoutes } from "./account-service.ts";
import { createAccounts } from "./accounts.ts";
import { ensureFirstAdmin, offerFirstAccount } from "./first-admin.ts";
import { createSignInLinks } from "./links.ts";
import { oidcRoutes } from "./oidc.ts";
import { createRateLimit } from "./rate-limit.ts";
import { accessRoutes } from "./service.ts";
import { createSessions, type Sessions } from "./sessions.ts";
import { signInRoutes } from "./sign-in-service.ts";
import { createTokens, type Tokens } from "./tokens.ts";

export const firstAdminFile = "first-admin.link";

export interface PeopleOptions {
  readonly db: Db;
  readonly config: CoreConfig;
  readonly audit: Pick<Audit, "record">;
  readonly authority: Authority;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface People {
  readonly tokens: Tokens;
  readonly sessions: Sessions;
  /** While there is no account: what makes the first one. */
  readonly firstAdminCode: string | undefined;
  readonly parts: readonly Part[];
  /** Where a provider sends browsers back to; none where none is configured. */
  readonly plain: readonly ((app: FastifyInstance) => void)[];
}

const hourMs = 3_600_000;

export async function openPeople({ db, config, audit, authority, clock, log }: PeopleOptions): Promise<People> {
  const nowMs = () => clock.nowMs();
  const { access, dataDir } = config;
  const tokens = createTokens(db, nowMs);
  await ensureFirstAdmin(tokens, config.adminTokenFile ?? join(dataDir, "admin.token"));
  const accounts = createAccounts(db, nowMs);
  const sessions = createSessions(db, { maxMs: access.sessionHours * hourMs, idleMs: access.sessionIdleHours * hourMs }, nowMs);
  const links = createSignInLinks(db, nowMs);
  // Of one address: twenty at once, then one in three seconds.
  const perAddress = createRateLimit(1 / 3, 20, () => clock.monotonicMs());
  const firstAdminCode = await offerFirstAccount(accounts, links, join(dataDir, firstAdminFile));
  const { oidc } = access;
  return {
    tokens,
    sessions,
    firstAdminCode,
    parts: [
      { routes: accessRoutes(tokens, authority) },
      { routes: accountRoutes({ accounts, sessions, links, audit, traceUrl: config.traceUrl }) },
      { routes: signInRoutes({ db, accounts, sessions, links, audit, perAddress, oidcName: oidc?.name ?? "" }) },
    ],
    plain: oidc === undefined ? [] : [oidcRoutes({ config: oidc, accounts, sessions, audit, perAddress, log })],
  };
}
