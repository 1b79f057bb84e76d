// Unpacked images of this host, named by what they hold. One is unpacked beside its place and renamed when it is whole and on the disk, so that a
// kill at any moment leaves either all of it or nothing that counts. Workloads see them through an overlay and never write to them.
import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { Fault, fault } from "@aether/contract";
import { faultpoint, readTextIfThere, run, writeFileAtomic } from "@aether/kit";
import { z } from "zod";
import type { WorkloadSpec } from "../engine.ts";
import { createTreeHasher } from "../files/tree-digest.ts";
import { attributeReader } from "../files/xattrs.ts";
import type { Host } from "../host.ts";
import { type ImageLayout, type Layer, readLayer, readLayout } from "./layout.ts";
import { createUnpacker } from "./unpack.ts";

/** What a workload's record keeps of its image, so that neither a restart nor another host needs the layout again. */
export const imagePin = z.object({
  /** Of the layers in order; names the unpacked directory. */
  chainId: z.string().regex(/^sha(256|512):[0-9a-f]{64,128}$/),
  manifestDigest: z.string(),
  env: z.record(z.string(), z.string()),
  argv: z.array(z.string()),
  workingDirectory: z.string(),
  user: z.string(),
});
export type ImagePin = z.infer<typeof imagePin>;

const imageRecord = z.object({
  chainId: z.string(),
  treeDigest: z.string(),
  bytes: z.number(),
  entries: z.number(),
  leftOut: z.number(),
  /** Unpacked here, out of layers whose digests were compared; else what another node says that it is. */
  isOwn: z.boolean().default(true),
});
export type ImageRecord = z.infer<typeof imageRecord>;

const imagesDir = (host: Host): string => join(host.options.stateDir, "images");
const folderOf = (host: Host, chainId: string): string => join(imagesDir(host), chainId.replace(":", "-"));

/** The read-only root of an image that is here. */
export const imageRootfs = (host: Host, chainId: string): string => join(folderOf(host, chainId), "rootfs");

/** What is known of an unpacked image; undefined when it is not here. */
export async function findImage(host: Host, chainId: string): Promise<ImageRecord | undefined> {
  const text = await readTextIfThere(join(folderOf(host, chainId), "image.json"));
  return text === undefined ? undefined : imageRecord.parse(JSON.parse(text));
}

const unpacking = new Map<string, Promise<ImageRecord>>();
let counter = 0;

/** Reads the layout in `dir` and unpacks it unless that was done before. Throws ROOTFS_INVALID. */
export async function ensureImage(host: Host, dir: string, signal: AbortSignal): Promise<ImagePin> {
  const layout = await readLayout(dir);
  const { chainId, manifestDigest, defaults } = layout;
  await unpackOnce(host, layout, signal);
  return { chainId, manifestDigest, ...defaults, argv: [...defaults.argv] };
}

async function unpackOnce(host: Host, { chainId, layers }: ImageLayout, signal: AbortSignal): Promise<void> {
  const known = await findImage(host, chainId);
  if (known?.isOwn) return touch(host, chainId);
  const fill: Fill = async (root) => {
    const unpacker = createUnpacker(root, host.options.tools.native);
    for (const layer of layers) await applyLayer(layer, unpacker, signal);
    return unpacker.finish();
  };
  await once(folderOf(host, chainId), () => (known === undefined ? fillOnce(host, chainId, fill, undefined) : prove(host, known, fill)));
}

/**
 * An image that another node sent with a workload is good for what that node sends. Before it is good for what is started here it is held, once, against
 * the layers that are here: one node must not choose what all others run under an image's name. Throws ROOTFS_INVALID.
 */
async function prove(host: Host, known: ImageRecord, fill: Fill): Promise<ImageRecord> {
  const made = await fillBeside(host, fill);
  await rm(made.half, { recursive: true, force: true });
  const folder = folderOf(host, known.chainId);
  if (made.digest !== known.treeDigest)
    throw fault("ROOTFS_INVALID", `the image in ${folder}, which another node sent, has other files than its layers`, {
      field: "spec.rootfs",
      hint: "Remove that folder when no workload runs on it; and ask why a node sent it.",
    });
  const record = { ...known, isOwn: true };
  await writeFileAtomic(join(folder, "image.json"), JSON.stringify(record));
  return record;
}

/** The image that a record or a snapshot names, from here or from this node's own copy of the layout. Throws ROOTFS_INVALID. */
export async function requireImage(host: Host, spec: WorkloadSpec, pin: ImagePin, signal: AbortSignal): Promise<void> {
  const dir = spec.rootfs.slice("oci:".length);
  const known = await findImage(host, pin.chainId);
  if (known !== undefined) {
    const here = known.isOwn ? undefined : await readLayout(dir).catch(() => undefined); // nothing to hold it against
    return here?.chainId === pin.chainId ? unpackOnce(host, here, signal) : touch(host, pin.chainId);
  }
  const here = await readLayout(dir);
  if (here.chainId !== pin.chainId)
    throw fault("ROOTFS_INVALID", `${dir} on this node is another image (${here.chainId}) than the workload runs on (${pin.chainId})`, {
      field: "spec.rootfs",
    });
  await unpackOnce(host, here, signal);
}

/** Puts everything into the directory that it is given. */
type Fill = (root: string) => Promise<{ bytes: number; entries: number; leftOut: number }>;

/** Two calls for the same image become one. */
function once(key: string, make: () => Promise<ImageRecord>): Promise<ImageRecord> {
  const running = unpacking.get(key);
  if (running !== undefined) return running;
  const work = make().finally(() => unpacking.delete(key));
  unpacking.set(key, work);
  return work;
}

/** Makes the place of an image that another node sends. Throws ROOTFS_INVALID unless its files have the digest that they have there. */
export const fillImage = (host: Host, chainId: string, fill: Fill, expected: string): Promise<ImageRecord> =>
  once(folderOf(host, chainId), () => fillOnce(host, chainId, fill, expected));

async function fillBeside(host: Host, fill: Fill) {
  const half = join(imagesDir(host), `${halfPrefix}${process.pid}-${++counter}`);
  try {
    await mkdir(join(half, "rootfs"), { recursive: true, mode: 0o755 });
    const filled = await fill(join(half, "rootfs"));
    await faultpoint("image.before_rename");
    const hasher = createTreeHasher(attributeReader(host.options.tools.native));
    const { digest } = await hasher.digest([{ name: "image", path: join(half, "rootfs") }]);
    return { half, filled, digest };
  } catch (caught) {
    const problem = Fault.from(caught);
    await rm(half, { recursive: true, force: true });
    throw problem;
  }
}

/** @param expected the digest of the tree where another node sent it; undefined: its layers are here */
async function fillOnce(host: Host, chainId: string, fill: Fill, expected: string | undefined): Promise<ImageRecord> {
  const { half, filled, digest } = await fillBeside(host, fill);
  try {
    if (expected !== undefined && digest !== expected)
      throw fault("ROOTFS_INVALID", `the image ${chainId} arrived with other files than it left with`);
    const record: ImageRecord = { chainId, treeDigest: digest, ...filled, isOwn: expected === undefined };
    await writeFileAtomic(join(half, "image.json"), JSON.stringify(record));
    await run("sync", ["-f", half], { deadlineMs: 300_000 });
    await rm(folderOf(host, chainId), { recursive: true, force: true }); // without image.json: not whole
    await rename(half, folderOf(host, chainId));
    await run("sync", ["-f", imagesDir(host)], { deadlineMs: 60_000 });
    return record;
  } catch (caught) {
    const problem = Fault.from(caught);
    await rm(half, { recursive: true, force: true });
    throw problem;
  }
}

async function applyLayer(layer: Layer, unpacker: ReturnType<typeof createUnpacker>, signal: AbortSignal): Promise<void> {
  const [algorithm = "sha256"] = layer.diffId.split(":");
  const hash = createHash(algorithm);
  const blob = Readable.from(readLayer(layer));
  const decompressor =
    layer.compression === "none" ? new PassThrough() : layer.compression === "gzip" ? createGunzip() : createZstdDecompress();
  // An error of the file must end the reader of what comes out of the decompressor.
  const plain = blob.on("error", (cause) => decompressor.destroy(cause)).pipe(decompressor);
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const chunk of plain as AsyncIterable<Buffer>) {
      hash.update(chunk);
      yield chunk;
    }
  }
  const stream = counted();
  try {
    await unpacker.apply(stream, signal);
    for await (const _ of stream); // what follows the archive's end counts in the digest
  } catch (caught) {
    const problem = Fault.from(caught);
    if (problem.code !== "INTERNAL") throw problem;
    throw fault(
      "ROOTFS_INVALID",
      `the layer ${layer.digest} cannot be read: ${caught instanceof Error ? caught.message : String(caught)}`,
      {
        field: "spec.rootfs",
        cause: caught,
      },
    );
  } finally {
    blob.destroy();
    plain.destroy();
  }
  if (`${algorithm}:${hash.digest("hex")}` !== layer.diffId)
    throw fault("ROOTFS_INVALID", `the layer ${layer.digest} does not unpack to ${layer.diffId}, as the image's configuration says`, {
      field: "spec.rootfs",
    });
}

const halfPrefix = ".half-";
const keepUnusedMs = 7 * 86_400_000;

/** The age of an image's record says when it was last used. */
const touch = (host: Host, chainId: string) => {
  const now = new Date();
  return utimes(join(folderOf(host, chainId), "image.json"), now, now);
};

/** After a restart: removes what a crash left half unpacked, and images that no workload has had for a week. */
export async function tidyImages(host: Host, used: ReadonlySet<string>, nowMs: number): Promise<void> {
  await mkdir(imagesDir(host), { recursive: true, mode: 0o700 });
  const inUse = new Set([...used].map((chainId) => folderOf(host, chainId)));
  for (const name of await readdir(imagesDir(host))) {
    const path = join(imagesDir(host), name);
    if (inUse.has(path)) continue;
    const record = await stat(join(path, "image.json")).catch(() => undefined);
    if (name.startsWith(halfPrefix) || record === undefined || nowMs - record.mtimeMs > keepUnusedMs)
      await rm(path, { recursive: true, force: true });
  }
}
