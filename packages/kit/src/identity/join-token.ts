// A join token is what a person copies to a new machine: `aj_SECRET.PIN`. The secret works once and is known to the control plane only
// by its hash; the pin (sha256 of the authority's SPKI) tells the machine which authority it may give the secret to.
import { createHash, randomBytes } from "node:crypto";
import { fault } from "@aether/contract";

export interface JoinToken {
  readonly secret: string;
  /** sha256 of the authority's SubjectPublicKeyInfo, base64url. */
  readonly pin: string;
}

/** A new token for the authority with this pin. Only `secretHash` is stored; the token is shown once. */
export function createJoinToken(pin: string): { readonly token: string; readonly secretHash: string } {
  const secret = randomBytes(32).toString("base64url");
  return { token: `aj_${secret}.${pin}`, secretHash: hashJoinSecret(secret) };
}

/** Throws JOIN_TOKEN_INVALID, without the token's text, when it is not of the form. Space around it is ignored. */
export function parseJoinToken(text: string): JoinToken {
  const [, secret, pin] = /^aj_([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})$/.exec(text.trim()) ?? [];
  if (secret === undefined || pin === undefined)
    throw fault("JOIN_TOKEN_INVALID", "this is not a join token (aj_SECRET.PIN)", { field: "joinToken" });
  return { secret, pin };
}

/** What is stored of a secret: sha256, base64url. The secret has 256 random bits, so no salt or slow hash is needed. */
export function hashJoinSecret(secret: string): string {
  return createHash("sha256").update(secret, "utf8").digest("base64url");
}
