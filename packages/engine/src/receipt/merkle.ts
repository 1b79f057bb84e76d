// The Merkle tree hash of Certificate Transparency (RFC 6962, section 2.1) with SHA-256: leaves and inner nodes are hashed with different prefixes,
// so that neither can pass for the other. Leaves are sorted by their bytes first: a section is a set, and both sides must agree on its order.
import { hash } from "node:crypto";

export interface MerkleTree {
  /** Hexadecimal. */
  readonly root: string;
  /** In the order in which they were hashed. */
  readonly leaves: readonly string[];
}

const leafPrefix = Buffer.from([0]);
const nodePrefix = Buffer.from([1]);

const sha256 = (...parts: readonly Uint8Array[]): Buffer => hash("sha256", Buffer.concat(parts), "buffer");

/** Sorts and hashes. Two equal leaves are two leaves. */
export function merkleTree(leaves: Iterable<string>): MerkleTree {
  const pairs = [...leaves].map((leaf) => ({ leaf, bytes: Buffer.from(leaf) })).sort((a, b) => Buffer.compare(a.bytes, b.bytes));
  const root = rootOf(pairs.map(({ bytes }) => sha256(leafPrefix, bytes)));
  return { root: root.toString("hex"), leaves: pairs.map(({ leaf }) => leaf) };
}

/**
 * Level by level; an odd one out goes up as it is. This is the tree of the RFC, which splits at the largest power of two below the count: a
 * subtree of a full power of two is complete, and what is left over joins where the recursion would join it.
 */
function rootOf(hashes: readonly Buffer[]): Buffer {
  if (hashes.length === 0) return sha256();
  let level = [...hashes];
  while (level.length > 1) {
    const next: Buffer[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const [left, right] = [level[i], level[i + 1]];
      if (left === undefined) break;
      next.push(right === undefined ? left : sha256(nodePrefix, left, right));
    }
    level = next;
  }
  return level[0] ?? sha256();
}
