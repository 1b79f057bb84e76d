// A snapshot's manifest: a head that anybody may read (which chunks it needs, which cluster key it was made under), and a body that is sealed: what the
// workload was, its images and its files, each as a list of chunks with their keys. Stored as one JSON line and the sealed bytes after it.
import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { fault } from "@aether/contract";
import { z } from "zod";
import type { SnapshotKey } from "../engine.ts";
import { imagePin } from "../image/images.ts";
import { newKey, seal, unseal } from "./sealed.ts";

/** sha256 of the stored bytes, in hexadecimal: it becomes the name of a file, also out of a manifest that somebody has uploaded. */
const chunkId = z.string().regex(/^[0-9a-f]{64}$/);

const chunk = z.object({
  /** Its name in the store. */
  id: chunkId,
  /** base64. */
  key: z.string(),
  /** sha256 of the content, by which the next snapshot finds it again. */
  plain: z.string(),
  bytes: z.number(),
});
export type ChunkRef = z.infer<typeof chunk>;

const content = z.object({
  bytes: z.number(),
  /** Of the bytes; of sliced ones over the lines "digest-of-chunk from length" of its slices: nobody reads all of it to make the next snapshot. */
  sha256: z.string(),
  chunks: z.array(chunk),
  /** Which part of which chunk follows which: index, first byte, bytes. Without it: all of each, in order. */
  slices: z.array(z.tuple([z.number(), z.number(), z.number()])).optional(),
});
export type Content = z.infer<typeof content>;

/** It becomes the name of a file on the node that restores it, whoever has written it. */
const isPart = (name: string): boolean => name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name);

const entry = z.object({
  /** Bytes as latin1, below the tree's root; empty for the root. */
  path: z.string(),
  type: z.enum(["file", "dir", "link", "char", "block", "fifo", "socket"]),
  mode: z.number(),
  uid: z.number(),
  gid: z.number(),
  mtimeNs: z.string(),
  /** Of a symbolic link its text, of another name of the same file the first one's path; latin1. */
  target: z.string().optional(),
  sameAs: z.boolean().optional(),
  rdev: z.number().optional(),
  /** "name=hex name=hex". */
  attributes: z.string().optional(),
  content: content.optional(),
  /** By which the next snapshot sees that a file has not changed since: inode, size, times. */
  stamp: z.string().optional(),
});
export type TreeEntry = z.infer<typeof entry>;

const body = z.object({
  workload: z.string(),
  stdio: z.object({ stdout: z.number(), stderr: z.number() }),
  image: imagePin.optional(),
  images: z.array(content.extend({ name: z.string().refine((name) => isPart(name)) })),
  trees: z.array(z.object({ name: z.string(), entries: z.array(entry) })),
  /** Merkle root over the trees (files/tree-digest.ts). */
  filesDigest: z.string(),
});
export type SnapshotBody = z.infer<typeof body>;

const head = z.object({
  /** 2: with slices, which a reader of version 1 does not know. */
  version: z.union([z.literal(1), z.literal(2)]),
  snapshotId: z.string(),
  workload: z.string(),
  createdAtMs: z.number(),
  keyId: z.string(),
  /** The data key, wrapped; base64. */
  wrappedKey: z.string(),
  /** Every chunk that it needs, sorted. */
  chunks: z.array(chunkId),
  /** Of the sealed body. */
  bodySha256: z.string(),
});
export type SnapshotHead = z.infer<typeof head>;

export function writeManifest(
  snapshotId: string,
  createdAtMs: number,
  content: SnapshotBody,
  key: SnapshotKey,
): { bytes: Buffer; sha256: string } {
  const dataKey = newKey();
  const sealed = seal(dataKey, gzipSync(JSON.stringify(content)), `snapshot ${snapshotId}`);
  const line: SnapshotHead = {
    version: content.images.some(({ slices }) => slices !== undefined) ? 2 : 1,
    snapshotId,
    workload: content.workload,
    createdAtMs,
    keyId: key.id,
    wrappedKey: seal(key.key, dataKey, `key of ${snapshotId}`).toString("base64"),
    chunks: [...new Set(chunksOf(content).map(({ id }) => id))].sort(),
    bodySha256: createHash("sha256").update(sealed).digest("hex"),
  };
  const bytes = Buffer.concat([Buffer.from(`${JSON.stringify(line)}\n`), sealed]);
  return { bytes, sha256: createHash("sha256").update(bytes).digest("hex") };
}

export const chunksOf = ({ images, trees }: SnapshotBody): ChunkRef[] => [
  ...images.flatMap(({ chunks }) => chunks),
  ...trees.flatMap(({ entries }) => entries.flatMap((each) => each.content?.chunks ?? [])),
];

/** Of a manifest's body: a longer text would be no string of V8's anyway. */
const largestBodyBytes = 512 << 20;

const corrupt = (snapshotId: string, why: string, cause?: unknown) =>
  fault("SNAPSHOT_CORRUPT", `${snapshotId}: ${why}`, { details: { snapshotId }, cause });

/** Throws SNAPSHOT_CORRUPT. */
export function readHead(snapshotId: string, bytes: Buffer): { head: SnapshotHead; sealed: Buffer } {
  const end = bytes.indexOf(10);
  let line: SnapshotHead;
  try {
    line = head.parse(JSON.parse(bytes.toString("utf8", 0, end)));
  } catch (cause) {
    throw corrupt(snapshotId, "its manifest cannot be read", cause);
  }
  const sealed = bytes.subarray(end + 1);
  if (line.snapshotId !== snapshotId) throw corrupt(snapshotId, `its manifest is that of ${line.snapshotId}`);
  if (createHash("sha256").update(sealed).digest("hex") !== line.bodySha256) throw corrupt(snapshotId, "its manifest's body was changed");
  return { head: line, sealed };
}

/**
 * Nothing of a tree is written outside of its root: each path is made of plain names, below a directory that the tree has made before, and another
 * name of a file is that of one of its own. A node that holds the key may lie, and the one that restores writes as root. Throws SNAPSHOT_CORRUPT.
 */
export function requireInside(entries: readonly TreeEntry[]): void {
  const made = new Map<string, TreeEntry["type"]>();
  for (const { path, type, sameAs, target } of entries) {
    const at = path.lastIndexOf("/");
    const isRoot = path === "" && type === "dir" && made.size === 0;
    const parent = at < 0 ? "dir" : at > 0 ? made.get(path.slice(0, at)) : undefined;
    const isPlain = isRoot || (isPart(path.slice(at + 1)) && parent === "dir" && !made.has(path));
    const other = sameAs ? made.get(target ?? "") : "file";
    if (!isPlain || other === undefined || other === "dir")
      throw fault("SNAPSHOT_CORRUPT", `its files have an entry that is not inside them: ${JSON.stringify(path.slice(0, 200))}`);
    made.set(path, type);
  }
}

/** Throws SNAPSHOT_CORRUPT, also for another key. */
export function readBody(snapshotId: string, bytes: Buffer, key: SnapshotKey): SnapshotBody {
  const { head: line, sealed } = readHead(snapshotId, bytes);
  if (line.keyId !== key.id)
    throw fault("SNAPSHOT_CORRUPT", `${snapshotId} was made under the cluster key ${line.keyId}; this control plane has ${key.id}`, {
      details: { snapshotId },
      hint: "Give the control plane the key file that it had then.",
    });
  const dataKey = unseal(key.key, Buffer.from(line.wrappedKey, "base64"), `key of ${snapshotId}`);
  const packed = unseal(dataKey, sealed, `snapshot ${snapshotId}`);
  let said: unknown;
  try {
    said = JSON.parse(gunzipSync(packed, { maxOutputLength: largestBodyBytes }).toString("utf8"));
  } catch (cause) {
    throw corrupt(snapshotId, "its manifest cannot be unpacked, or to more than any has", cause);
  }
  const parsed = body.safeParse(said);
  if (!parsed.success) throw corrupt(snapshotId, "its manifest does not have the form that this version reads", parsed.error);
  return parsed.data;
}
