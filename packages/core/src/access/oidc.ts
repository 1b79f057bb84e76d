// Sign-in through an OpenID Connect provider: authorization code with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 7636). What belongs to
// one attempt travels in a cookie of the browser that made it, for ten minutes; nothing is kept here, so any control plane may answer.
import { Fault, fault } from "@aether/contract";
import { type Logger, readTextIfThere } from "@aether/kit";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Configuration } from "openid-client";
import { z } from "zod";
import type { Audit } from "../audit/audit.ts";
import type { AccountRole } from "../db/tables/access.ts";
import { originOf } from "../http/origin.ts";
import type { Accounts } from "./accounts.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { Sessions } from "./sessions.ts";

const isLoopback = (url: URL) => url.protocol === "http:" && /^(127\.0\.0\.1|localhost|\[::1\])$/.test(url.hostname);

/** An address that secrets are sent to: over TLS, or to this very machine. */
const safeUrl = z
  .url()
  .refine((text) => new URL(text).protocol === "https:" || isLoopback(new URL(text)), "must be https, or http on the loopback");

export const oidcConfig = z.strictObject({
  issuer: safeUrl.describe("The provider; its discovery document is read from there."),
  clientId: z.string().min(1).describe("As the provider knows this control plane."),
  clientSecretFile: z
    .string()
    .startsWith("/")
    .optional()
    .describe("Of a confidential client; without one the client is public, which PKCE makes safe."),
  publicUrl: safeUrl.describe("Where browsers reach this control plane: the redirect is PUBLIC_URL/auth/oidc/callback."),
  name: z.string().min(1).max(60).default("single sign-on").describe("What the button says."),
  scope: z.string().default("openid profile email").describe("What is asked of the provider."),
  roleClaim: z
    .string()
    .default("groups")
    .describe("The claim of the ID token that holds groups (a text or a list), and which of them have which role. No group, no way in."),
  roles: z
    .strictObject({
      admin: z.array(z.string()).default([]).describe("Groups whose members are admins."),
      operator: z.array(z.string()).default([]).describe("Groups whose members are operators."),
      viewer: z.array(z.string()).default([]).describe("Groups whose members are viewers."),
    })
    .prefault({}),
});

export type OidcConfig = z.infer<typeof oidcConfig>;

export interface OidcOptions {
  readonly config: OidcConfig;
  readonly accounts: Pick<Accounts, "vouchedFor">;
  readonly sessions: Sessions;
  readonly audit: Pick<Audit, "record">;
  readonly perAddress: RateLimit;
  readonly log: Logger;
}

const flowCookie = "aether_oidc";
const flowSeconds = 600;
const flowSchema = z.strictObject({ state: z.string(), nonce: z.string(), verifier: z.string(), back: z.string().default("/") });
const providerDeadlineSeconds = 10;

export function oidcRoutes({ config, accounts, sessions, audit, perAddress, log }: OidcOptions): (app: FastifyInstance) => void {
  const redirectUri = `${config.publicUrl.replace(/\/+$/, "")}/auth/oidc/callback`;
  const isSecure = config.publicUrl.startsWith("https:");
  const flow = (value: string, seconds: number) =>
    // Lax: it must come back with the provider's redirect, which is another site's.
    `${flowCookie}=${value}; Path=/auth/oidc; HttpOnly; SameSite=Lax; Max-Age=${seconds}${isSecure ? "; Secure" : ""}`;
  let discovered: Promise<Configuration> | undefined;
  const provider = () => {
    discovered ??= discover(config).catch((caught: unknown) => {
      discovered = undefined; // asked again at the next sign-in
      throw caught;
    });
    return discovered;
  };

  const fail = async (request: FastifyRequest, reply: FastifyReply, problem: Fault) => {
    const { sourceAddress, trace } = originOf(request.raw);
    log.warn({ err: problem, traceId: trace.traceId }, "oidc.refused");
    const entry = { actor: "anonymous", action: "session.sign-in-oidc", subject: "session", sourceAddress, traceId: trace.traceId };
    await audit.record({ ...entry, outcome: "denied", data: { code: problem.code } });
    return reply.header("set-cookie", flow("", 0)).redirect(`/?refused=${problem.code}`, 303);
  };

  return (app) => {
    app.get("/auth/oidc/start", async (request, reply) => {
      if (perAddress.take(originOf(request.raw).sourceAddress) > 0) throw fault("RATE_LIMITED", "too many sign-ins from this address");
      try {
        const back = wayBack(new URL(request.raw.url ?? "/", "http://local").searchParams.get("back"));
        const { authorizationUrl, cookie } = await begin(await provider(), config, redirectUri, back);
        return reply.header("cache-control", "no-store").header("set-cookie", flow(cookie, flowSeconds)).redirect(authorizationUrl, 303);
      } catch (cause) {
        return fail(request, reply, fault("UNAVAILABLE", `the sign-in provider ${config.issuer} does not answer as it should`, { cause }));
      }
    });

    app.get("/auth/oidc/callback", async (request, reply) => {
      const origin = originOf(request.raw);
      try {
        const { claims, back } = await finish(await provider(), request, redirectUri);
        const role = roleOf(claims[config.roleClaim], config.roles);
        if (role === undefined) throw fault("PERMISSION_DENIED", `the account ${claims.sub} is in no group that has a role here`);
        const name = accountName([claims.preferred_username, claims.email, claims.sub]);
        const account = await accounts.vouchedFor({ issuer: config.issuer, subject: claims.sub, name, role });
        sessions.forget();
        if (account.disabled_at !== null) throw fault("PERMISSION_DENIED", `the account ${account.name} is disabled`);
        const { secret } = await sessions.open(account.id, { sourceAddress: origin.sourceAddress, userAgent: origin.browser.userAgent });
        const actor = `account/${account.name}`;
        await audit.record({
          actor,
          action: "session.sign-in-oidc",
          subject: actor,
          outcome: "ok",
          data: { issuer: config.issuer },
          sourceAddress: origin.sourceAddress,
          traceId: origin.trace.traceId,
        });
        return reply
          .header("cache-control", "no-store")
          .header("set-cookie", [flow("", 0), origin.browser.setCookie(secret, sessions.maxAgeMs, isSecure)])
          .redirect(wayBack(back), 303);
      } catch (caught) {
        return fail(
          request,
          reply,
          caught instanceof Fault ? caught : fault("SIGN_IN_REFUSED", "the provider's answer was not accepted", { cause: caught }),
        );
      }
    });
  };
}

/** Loaded only where it is configured. */
const library = () => import("openid-client");

async function discover(config: OidcConfig): Promise<Configuration> {
  const { discovery, allowInsecureRequests, ClientSecretPost, None } = await library();
  const secret = config.clientSecretFile === undefined ? undefined : (await readTextIfThere(config.clientSecretFile))?.trim();
  if (config.clientSecretFile !== undefined && !secret) throw fault("CONFIG_INVALID", `${config.clientSecretFile} is empty or not there`);
  return discovery(new URL(config.issuer), config.clientId, undefined, secret === undefined ? None() : ClientSecretPost(secret), {
    timeout: providerDeadlineSeconds,
    ...(isLoopback(new URL(config.issuer)) ? { execute: [allowInsecureRequests] } : {}),
  });
}

/** The page that was wanted before the sign-in: an address of this page alone, never of another site, whatever somebody puts into a link. */
export function wayBack(wanted: string | null): string {
  if (wanted === null || wanted.length > 1000 || !/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(wanted)) return "/";
  const { origin, pathname, search } = new URL(wanted, "http://local");
  // "/..//other.site" becomes "//other.site", which a browser takes for another site.
  return origin === "http://local" && !/^\/(\/|(auth|api)\/)/.test(pathname) ? pathname + search : "/";
}

async function begin(provider: Configuration, config: OidcConfig, redirectUri: string, back: string) {
  const { buildAuthorizationUrl, calculatePKCECodeChallenge, randomNonce, randomPKCECodeVerifier, randomState } = await library();
  const attempt = { state: randomState(), nonce: randomNonce(), verifier: randomPKCECodeVerifier(), back };
  const authorizationUrl = buildAuthorizationUrl(provider, {
    redirect_uri: redirectUri,
    scope: config.scope,
    code_challenge: await calculatePKCECodeChallenge(attempt.verifier),
    code_challenge_method: "S256",
    state: attempt.state,
    nonce: attempt.nonce,
  });
  return { authorizationUrl: authorizationUrl.href, cookie: Buffer.from(JSON.stringify(attempt)).toString("base64url") };
}

/** The claims of the ID token, whose signature, audience, nonce and age were checked. Throws what the library found. */
async function finish(provider: Configuration, request: FastifyRequest, redirectUri: string) {
  const { authorizationCodeGrant } = await library();
  const cookie = /(?:^|; )aether_oidc=([A-Za-z0-9_-]{10,2000})(?:;|$)/.exec(request.headers.cookie ?? "")?.[1];
  if (cookie === undefined) throw fault("SIGN_IN_REFUSED", "this browser did not begin a sign-in, or too long ago");
  const attempt = flowSchema.parse(JSON.parse(Buffer.from(cookie, "base64url").toString("utf8")));
  const answered = new URL(redirectUri);
  answered.search = new URL(request.raw.url ?? "/", "http://local").search;
  const tokens = await authorizationCodeGrant(provider, answered, {
    pkceCodeVerifier: attempt.verifier,
    expectedState: attempt.state,
    expectedNonce: attempt.nonce,
    idTokenExpected: true,
  });
  const claims = tokens.claims();
  if (claims === undefined) throw new Error("no ID token");
  return { claims, back: attempt.back };
}

/** The highest role that one of the groups has. */
export function roleOf(claim: unknown, roles: OidcConfig["roles"]): AccountRole | undefined {
  const groups = new Set((Array.isArray(claim) ? claim : [claim]).filter((group) => typeof group === "string"));
  return (["admin", "operator", "viewer"] as const).find((role) => roles[role].some((group) => groups.has(group)));
}

/** A name in the form of ours, from the first that gives one. */
export function accountName(candidates: readonly unknown[]): string {
  for (const candidate of candidates) {
    if (typeof candidate !== "string") continue;
    const name = candidate
      .toLowerCase()
      .replace(/@.*$/, "")
      .replace(/[^a-z0-9._-]+/g, "-")
      .replace(/^[^a-z0-9]+/, "")
      .slice(0, 58);
    if (name !== "") return name;
  }
  return "somebody";
}
