// Entity tags (RFC 9110, 8.8.3 and 13.1): a digest of the representation as it is sent.
import { createHash } from "node:crypto";

export const entityTag = (text: string): string => `"${createHash("sha256").update(text).digest("base64url").slice(0, 27)}"`;

/** Does `tag` fit If-None-Match or If-Match? Ours are strong, so a weak one from a cache in between counts as the same for reading only. */
export function fitsTag(header: string, tag: string, options: { readonly isWeakEnough: boolean }): boolean {
  if (header.trim() === "*") return true;
  const listed = header.split(",").map((each) => each.trim());
  return listed.includes(tag) || (options.isWeakEnough && listed.includes(`W/${tag}`));
}
