// How a snapshot is kept from eyes: each chunk is compressed (zstd) and encrypted (AES-256-GCM) under a key of its own; those keys are in the manifest's
// body, which is encrypted under the snapshot's data key; that key is wrapped by the workload's key, which the control plane derives from the
// cluster's. A chunk that did not change is named again with the same key, so that snapshots share it, and still each has its own data key.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { constants, zstdCompress, zstdDecompress } from "node:zlib";
import { fault } from "@aether/contract";

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);
const ivBytes = 12;
const tagBytes = 16;

export const newKey = (): Buffer => randomBytes(32);

/** IV, ciphertext, tag. `about` is authenticated with it. */
export function seal(key: Uint8Array, plain: Uint8Array, about: string): Buffer {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  cipher.setAAD(Buffer.from(about));
  return Buffer.concat([iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Throws SNAPSHOT_CORRUPT: another key, or other bytes. */
export function unseal(key: Uint8Array, sealed: Uint8Array, about: string): Buffer {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, ivBytes));
    decipher.setAAD(Buffer.from(about));
    decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
    return Buffer.concat([decipher.update(bytes.subarray(ivBytes, bytes.length - tagBytes)), decipher.final()]);
  } catch (cause) {
    throw fault("SNAPSHOT_CORRUPT", `${about} cannot be decrypted: it was changed, or the key is another one`, { cause });
  }
}

/** Level 1: what a checkpoint compresses by at all, it does at the fastest level. */
export async function packChunk(plain: Uint8Array): Promise<{ readonly bytes: Buffer; readonly key: Buffer }> {
  const key = newKey();
  const compressed = await compress(plain, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  return { bytes: seal(key, compressed, "chunk"), key };
}

/** A chunk is a megabyte or so; what would become more than this is none of ours, and would take the agent's memory. */
export const largestChunkBytes = 64 << 20;

/** Throws SNAPSHOT_CORRUPT. */
export async function unpackChunk(bytes: Uint8Array, key: Uint8Array): Promise<Buffer> {
  const compressed = unseal(key, bytes, "chunk");
  return decompress(compressed, { maxOutputLength: largestChunkBytes }).catch((cause: unknown) => {
    throw fault("SNAPSHOT_CORRUPT", "a chunk cannot be unpacked, or to more than any chunk has", { cause });
  });
}
