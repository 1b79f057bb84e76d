// Secrets that the system makes: 256 random bits, of which only the sha256 is kept, so neither salt nor a slow hash is needed.
import { createHash, randomBytes } from "node:crypto";

export function newSecret(prefix: "as_" | "al_"): { readonly secret: string; readonly hash: string } {
  const secret = `${prefix}${randomBytes(32).toString("base64url")}`;
  return { secret, hash: hashSecret(secret) };
}

export const hashSecret = (secret: string): string => createHash("sha256").update(secret, "utf8").digest("base64url");
