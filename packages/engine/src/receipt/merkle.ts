// The Merkle tree hash of Certificate Transparency (RFC 6962, section 2.1) with SHA-256: leaves and inner nodes are hashed with different prefixes,
// so that neither can pass for the other. Leaves are sorted by their bytes first: a section is a set, and both sides must agree on its order.
import { hash } from "node:crypto";

export interface MerkleTree {
  /** Hexadecimal. */
  readonly root: string;
  /** In the order in which they were hashed. */
  readonly leaves: readonly string[];
}

const hashBytes = 32;
const leafPrefix = Buffer.from([0]);
const nodePrefix = Buffer.from([1]);

const sha256 = (...parts: readonly Uint8Array[]): Buffer => hash("sha256", Buffer.concat(parts), "buffer");

/** Sorts and hashes. Two equal leaves are two leaves. There may be a million: the hashes are in one piece. */
export function merkleTree(leaves: Iterable<string>): MerkleTree {
  const sorted = sortedByBytes([...leaves]);
  const hashes = Buffer.alloc(sorted.length * hashBytes);
  for (const [i, leaf] of sorted.entries()) sha256(leafPrefix, Buffer.from(leaf)).copy(hashes, i * hashBytes);
  return { root: rootOf(hashes).toString("hex"), leaves: sorted };
}

/** In the order of their UTF-8 bytes, which is that of strings but for what lies above U+FFFF (strings have it in two halves from U+D800 on). */
function sortedByBytes(leaves: string[]): string[] {
  if (!leaves.some((leaf) => /[\ud800-\udfff]/.test(leaf))) return leaves.sort();
  const pairs = leaves.map((leaf) => ({ leaf, bytes: Buffer.from(leaf) }));
  return pairs.sort((a, b) => Buffer.compare(a.bytes, b.bytes)).map(({ leaf }) => leaf);
}

/**
 * Level by level, in place; an odd one out goes up as it is. This is the tree of the RFC, which splits at the largest power of two below the count: a
 * subtree of a full power of two is complete, and what is left over joins where the recursion would join it.
 */
function rootOf(hashes: Buffer): Buffer {
  if (hashes.length === 0) return sha256();
  const at = (index: number) => hashes.subarray(index * hashBytes, (index + 1) * hashBytes);
  for (let count = hashes.length / hashBytes; count > 1; count = Math.ceil(count / 2)) {
    for (let i = 0; i < count; i += 2) {
      const up = i + 1 < count ? sha256(nodePrefix, at(i), at(i + 1)) : at(i);
      up.copy(hashes, (i / 2) * hashBytes);
    }
  }
  return at(0);
}
