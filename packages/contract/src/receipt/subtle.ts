// The part of WebCrypto that verification needs. Handed in, since this package assumes neither a browser nor Node.

import { toUtf8 } from "./utf8.ts";

export interface Subtle {
  digest(algorithm: "SHA-256", data: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer>;
  importKey(
    format: "spki",
    data: Uint8Array<ArrayBuffer>,
    algorithm: { readonly name: string; readonly namedCurve?: string; readonly hash?: string },
    isExtractable: boolean,
    usages: "verify"[],
  ): Promise<unknown>;
  // A key is the implementation's own, and only it looks inside.
  verify(
    algorithm: { readonly name: string; readonly hash?: string },
    key: unknown,
    signature: Uint8Array<ArrayBuffer>,
    data: Uint8Array<ArrayBuffer>,
  ): Promise<boolean>;
}

const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export async function sha256Hex(subtle: Subtle, data: Uint8Array<ArrayBuffer>): Promise<string> {
  return hex(new Uint8Array(await subtle.digest("SHA-256", data)));
}

/** Merkle tree hash of RFC 6962, section 2.1, over leaves in ascending order of their UTF-8 bytes. */
export async function merkleRoot(subtle: Subtle, leaves: readonly string[]): Promise<string> {
  const hashOf = async (prefix: number, ...parts: readonly Uint8Array[]) => {
    const data = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 1));
    data[0] = prefix;
    let at = 1;
    for (const part of parts) {
      data.set(part, at);
      at += part.length;
    }
    return new Uint8Array(await subtle.digest("SHA-256", data));
  };
  const sorted = leaves.map((leaf) => toUtf8(leaf)).sort(compareBytes);
  if (sorted.length === 0) return sha256Hex(subtle, new Uint8Array());
  let level = await Promise.all(sorted.map((leaf) => hashOf(0, leaf)));
  while (level.length > 1) {
    const pairs = Array.from({ length: Math.ceil(level.length / 2) }, (_, i) => [level[2 * i], level[2 * i + 1]] as const);
    level = await Promise.all(pairs.map(([left = new Uint8Array(), right]) => (right === undefined ? left : hashOf(1, left, right))));
  }
  return hex(level[0] ?? new Uint8Array());
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return (a[i] ?? 0) - (b[i] ?? 0);
  return a.length - b.length;
}
