// The stream of pages that a source sends (native/src/memory/wire.h), written a second time and by the book: what the program's own hashes are held against.
const pageBytes = 4096;
const keyWords = 520;
const mask64 = (1n << 64n) - 1n;
const mask128 = (1n << 128n) - 1n;

export const frames = { key: 1, pages: 2, zero: 3, forget: 4, keep: 5, mapping: 6, seal: 7, end: 8 } as const;

export interface Frame {
  readonly kind: number;
  readonly space?: number;
  readonly address?: bigint;
  readonly pages?: number;
  readonly extra?: bigint;
}

export function frame({ kind, space = 0, address = 0n, pages = 0, extra = 0n }: Frame): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32LE(0x6165_0000 + kind, 0);
  bytes.writeUInt32LE(space, 4);
  bytes.writeBigUInt64LE(address, 8);
  bytes.writeBigUInt64LE(BigInt(pages), 16);
  bytes.writeBigUInt64LE(extra, 24);
  return bytes;
}

/** Bytes that look random and are the same each time (xorshift32). */
export function madeUp(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state & 0xff;
  }
  return bytes;
}

/** The first frame, and the hashes under its key. */
export function streamKey(version: number) {
  const words = madeUp(keyWords * 8, 7);
  const key = Array.from({ length: keyWords }, (_, i) => words.readBigUInt64LE(i * 8));
  const at = (list: readonly bigint[], i: number) => list[i] ?? 0n;
  const sum = (a: bigint, b: bigint) => (a + b) & mask64;
  /** NH: the sum of the products of neighbouring words, each with the key's word added. */
  const hashOf = (page: Buffer): bigint => {
    let hash = 0n;
    for (let i = 0; i < pageBytes / 8; i += 2)
      hash += sum(page.readBigUInt64LE(i * 8), at(key, i)) * sum(page.readBigUInt64LE(i * 8 + 8), at(key, i + 1));
    return hash & mask128;
  };
  /** What a page adds to the digest of its space. */
  const shareOf = (address: bigint, page: Buffer): bigint => {
    const hash = hashOf(page);
    const [low, high] = [hash & mask64, hash >> 64n];
    const k = key.slice(pageBytes / 8);
    return (
      (sum(address, at(k, 0)) * sum(low, at(k, 1)) +
        sum(high, at(k, 2)) * sum(address >> 12n, at(k, 3)) +
        sum(low, at(k, 4)) * sum(high, at(k, 5))) &
      mask128
    );
  };
  return {
    frame: Buffer.concat([frame({ kind: frames.key, address: BigInt(version), pages: keyWords }), words]),
    /** All pages of one space are kept: their digest. */
    seal(space: number, pages: readonly (readonly [address: bigint, page: Buffer])[]): Buffer {
      const digest = pages.reduce((all, [address, page]) => (all + shareOf(address, page)) & mask128, 0n);
      return frame({ kind: frames.seal, space, pages: pages.length, address: digest & mask64, extra: digest >> 64n });
    },
  };
}
