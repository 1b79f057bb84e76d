// A checkpoint in the store, while the workload runs on: its files are mirrored before, inside the freeze are criu's dump and what was written since;
// everything else (cutting, hashing, compressing, encrypting, storing) happens after the thaw. Of memory only what was written since the snapshot before is
// read, where its tracker has stayed, and only chunks that no earlier snapshot of the workload has are written. A snapshot is whole by itself: none depends
// on another but by chunks that are there.
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault, fault } from "@aether/contract";
import { faultpoint } from "@aether/kit";
import type { ManifestEntry, SnapshotKey, Snapshots } from "../engine.ts";
import { sharedVolumes } from "../files/shared.ts";
import { travellingTrees } from "../files/sync.ts";
import { createTreeHasher, type NamedTree } from "../files/tree-digest.ts";
import { attributeReader } from "../files/xattrs.ts";
import { type Host, workloadDir } from "../host.ts";
import { requireImage } from "../image/images.ts";
import type { Abilities } from "../memory/mode.ts";
import { makeEvidence } from "../receipt/evidence.ts";
import type { Observed } from "../receipt/observe.ts";
import { readRecord, requireRecord, type WorkloadRecord } from "../record.ts";
import { outputTail } from "../runtime/shim.ts";
import { outputTailName } from "../steps/images.ts";
import { phase } from "../steps/journal.ts";
import { exportSnapshot, importSnapshot } from "./artifact.ts";
import { bringBack, isThere } from "./bring-back.ts";
import { capture } from "./capture.ts";
import { type ChunkWriter, createChunkWriter, writeContent } from "./content.ts";
import { type ChunkRef, chunksOf, readBody, readHead, type SnapshotBody, writeManifest } from "./manifest.ts";
import { createMemoryCopier } from "./memory.ts";
import { removeSnapshot } from "./remove.ts";
import { openS3Store } from "./s3-store.ts";
import { createStanding, type Since, type Turn } from "./standing.ts";
import { openDirectoryStore, parseSnapshotId } from "./store.ts";
import { storeImages } from "./store-images.ts";
import { mirrorOf, storeTree } from "./trees.ts";

export interface OwnedSnapshots extends Snapshots {
  /** Called once, before anything else: what a crash of this host left unfinished holds nobody up. Goes on by itself. */
  recover(): void;
  /** Others come first: the kernel gives the memory of a workload to one tracker only. The next snapshot reads everything, and says `why`. */
  endTracking(workload: string, why: string): void;
  /** Is its memory tracked between two snapshots? */
  isTracked(workload: string): boolean;
  /** Of one that is: bytes that it writes a second. */
  dirtyRate(workload: string, signal: AbortSignal): Promise<number | undefined>;
  /** Workloads run on, untracked. */
  stop(): void;
}

/** What is kept of a workload, when it runs again. */
interface Taken {
  readonly snapshotId: string;
  readonly record: WorkloadRecord;
  readonly images: string;
  readonly mirrors: readonly NamedTree[];
  readonly before: SnapshotBody | undefined;
  readonly since: Since | undefined;
  readonly observed: Observed;
}

/** @param abilities of this host, as its trial checkpoint found them */
export function createSnapshots(host: Host, abilities: () => Abilities): OwnedSnapshots {
  const { snapshotDir, snapshotBucket, hostId } = host.options;
  const store = snapshotBucket === undefined ? openDirectoryStore(snapshotDir, hostId) : openS3Store(snapshotBucket, hostId);
  const { native } = host.options.tools;
  const standing = createStanding(host);
  const memory = createMemoryCopier(host, standing, abilities);
  /** The newest snapshot of each workload, so that it need not be read and decrypted for the next. */
  const newest = new Map<string, { readonly snapshotId: string; readonly body: SnapshotBody }>();

  async function requireManifest(snapshotId: string): Promise<Buffer> {
    const bytes = await store.getManifest(parseSnapshotId(snapshotId));
    if (bytes === undefined) throw fault("SNAPSHOT_NOT_FOUND", `${snapshotId} is not in the store of this node`);
    return bytes;
  }

  /** The last snapshot of this workload that is in the store and whose body this key opens; after a restart it is looked for among the newest. */
  async function lastOf(
    workload: string,
    key: SnapshotKey,
  ): Promise<{ readonly snapshotId: string; readonly body: SnapshotBody } | undefined> {
    const known = newest.get(workload);
    if (known !== undefined && (await store.hasManifest(known.snapshotId))) return known;
    newest.delete(workload);
    for (const snapshotId of (await store.listManifests()).slice(0, 200)) {
      const bytes = await store.getManifest(snapshotId);
      if (bytes === undefined) continue;
      try {
        if (readHead(snapshotId, bytes).head.workload === workload) return { snapshotId, body: readBody(snapshotId, bytes, key) };
      } catch (caught) {
        host.options.log.warn({ err: Fault.from(caught), snapshotId }, "snapshot.unreadable"); // costs a whole write, loses nothing
      }
    }
    return undefined;
  }

  /**
   * What a snapshot that failed has written goes at once: nobody would ever name it again, each chunk having a key of its own, and in a store that is full every further attempt would
   * leave as much. The manifest first, which may be there although its write failed. A store that is away is swept later.
   */
  async function takeBack(snapshotId: string, writer: ChunkWriter): Promise<void> {
    try {
      await store.deleteManifest(snapshotId);
      for (const id of await writer.written()) await store.deleteChunk(id);
    } catch (caught) {
      host.options.log.warn({ err: Fault.from(caught), snapshotId }, "snapshot.not_taken_back");
    }
  }

  /** After the workload runs again: cuts, hashes, compresses, encrypts and writes what was captured. Answers what the next snapshot goes by, too. */
  async function keep(taken: Taken, key: SnapshotKey, facts: Record<string, string>, signal: AbortSignal) {
    const { snapshotId, record, images, mirrors, before, since, observed } = taken;
    // A sweep takes no chunk of a snapshot whose manifest is there, and none while this one is made. Where everything is read again, each is looked for.
    const isThere = since === undefined ? store.hasChunk : async () => true;
    const known = new Map<string, ChunkRef>((before === undefined ? [] : chunksOf(before)).map((chunk) => [chunk.plain, chunk]));
    const writer = createChunkWriter(store, known, signal, isThere);
    const write = async () => {
      const stored = await storeImages(images, writer, since, host.options.log);
      await faultpoint("snapshot.half_stored");
      const imageBytes = writer.counts.bytes;
      const trees: SnapshotBody["trees"] = [];
      for (const mirror of mirrors) {
        const earlier = before?.trees.find(({ name }) => name === mirror.name)?.entries ?? [];
        trees.push({ name: mirror.name, entries: await storeTree(mirror, writer, native, earlier) });
      }
      const files = await createTreeHasher(attributeReader(native)).digest(mirrors);
      const body: SnapshotBody = {
        workload: record.spec.name,
        stdio: record.stdio ?? { stdout: 0, stderr: 0 },
        ...(record.image === undefined ? {} : { image: record.image }),
        images: [...stored.images],
        trees,
        filesDigest: files.digest,
      };
      const lost = (await Promise.all(chunksOf(body).map(async ({ id }) => ((await isThere(id)) ? [] : [id])))).flat();
      if (lost.length > 0) throw fault("SNAPSHOT_CORRUPT", `${lost.length} chunks went from the store while the snapshot was made`);
      const written = writeManifest(snapshotId, Date.now(), body, key);
      await faultpoint("snapshot.before_manifest");
      await store.putManifest(snapshotId, written.bytes);
      return { stored, imageBytes, files, body, written };
    };
    const { stored, imageBytes, files, body, written } = await write().catch(async (caught: unknown) => {
      await takeBack(snapshotId, writer);
      throw caught;
    });
    await faultpoint("snapshot.after_manifest");
    newest.set(record.spec.name, { snapshotId, body });
    const storedBytes = writer.counts.storedBytes + written.bytes.length;
    facts.storedBytes = String(storedBytes);
    return {
      next: { snapshotId, pages: stored.pages },
      fileReadBytes: writer.counts.bytes - imageBytes,
      result: {
        manifest: makeEvidence(stored.images.map(entryOf), files, observed).manifest,
        bytes: stored.images.reduce((sum, image) => sum + image.bytes, files.bytes),
        storedBytes,
        chunkCount: chunksOf(body).length,
        newChunkCount: writer.counts.newChunks,
        manifestSha256: written.sha256,
      },
    };
  }

  /** What a crash of this host left in the store is taken away, without anybody having to wait for a store that is away; a new snapshot's marker comes after. */
  let recovered: Promise<void> = Promise.resolve();

  return {
    recover() {
      recovered = store
        .recover()
        .catch((caught: unknown) => host.options.log.warn({ err: Fault.from(caught) }, "snapshot.store_not_recovered"));
    },
    endTracking: standing.end,
    isTracked: standing.has,
    dirtyRate: standing.dirtyRate,
    stop: standing.stop,
    exportTo: (snapshotId) => exportSnapshot(store, snapshotId),
    async importFrom(snapshotId, source, signal) {
      await recovered;
      await importSnapshot(store, snapshotId, source, signal);
    },
    async create(workload, snapshotId, key, limits, progress, signal) {
      parseSnapshotId(snapshotId);
      const record = await requireRecord(host, workload);
      if (record.phase !== "running") throw fault("WORKLOAD_NOT_RUNNING", `${workload} is ${record.phase}`);
      const began = performance.now();
      const cpu = process.cpuUsage();
      const images = join(host.memoryDir, `snapshot-${snapshotId}`);
      await recovered;
      const end = await store.begin(snapshotId, signal);
      let turn: Turn | undefined;
      try {
        const before = await lastOf(workload, key);
        if (before?.snapshotId !== standing.lastSnapshot(workload)) standing.end(workload, "the snapshot before is not in the store");
        await rm(images, { recursive: true, force: true });
        await mkdir(images, { recursive: true, mode: 0o700 });
        const mirrors = travellingTrees(host, record.spec).map(({ name }) => ({ name, path: mirrorOf(workloadDir(host, workload), name) }));
        const { ahead, wholeBecause } = await memory.copy(record, limits, progress, signal);
        turn = ahead?.turn;
        await faultpoint("snapshot.copied");
        const since = turn?.since;
        const captured = await capture(host, record, snapshotId, images, mirrors, ahead?.kept, progress, signal);
        const { observed, freezeMs, freezeBytes, imageBytes } = captured;
        await faultpoint("snapshot.thawed");
        if (ahead === undefined) memory.took(workload, { freezeMs, memoryBytes: observed.residentBytes });
        else await phase(progress, "snapshot.merge", () => ahead.kept.merge(images, signal));
        await writeFile(join(images, outputTailName), await outputTail(host, workload));
        const taken = { snapshotId, record, images, mirrors, before: before?.body, since, observed };
        const kept = await phase(progress, "snapshot.store", (facts) => keep(taken, key, facts, signal));
        const used = process.cpuUsage(cpu);
        const result = {
          ...kept.result,
          freezeMs,
          freezeBytes,
          readBytes: (ahead?.kept.readBytes() ?? 0) + imageBytes + kept.fileReadBytes,
          sinceSnapshotId: since?.snapshotId ?? "",
          wholeBecause: since === undefined ? wholeBecause : "",
          cpuSeconds: (used.user + used.system) / 1e6 + ((await ahead?.kept.cpuSeconds()) ?? 0),
          totalMs: performance.now() - began,
        };
        if (turn !== undefined) standing.leave(workload, turn, kept.next);
        return result;
      } catch (caught) {
        if (turn !== undefined) standing.drop(workload, turn, `the snapshot before failed: ${Fault.from(caught).message}`);
        throw caught;
      } finally {
        await end();
        await rm(images, { recursive: true, force: true });
      }
    },

    async restore(snapshotId, spec, epoch, key, progress, signal) {
      const body = readBody(snapshotId, await requireManifest(snapshotId), key);
      const existing = await readRecord(host, spec.name);
      if (existing !== undefined && ["running", "frozen", "prepared", "restored"].includes(existing.phase))
        throw fault("WORKLOAD_RUNNING", `${spec.name} is ${existing.phase} on this node`);
      if (existing !== undefined && existing.epoch > epoch) throw fault("STALE_EPOCH", `${spec.name} is in epoch ${existing.epoch}`);
      const images = join(host.memoryDir, `snapshot-${snapshotId}`);
      try {
        for (const { source, index } of sharedVolumes(spec.volumes))
          if (!(await isThere(source)))
            throw fault("VOLUME_INVALID", `the shared volume ${source} is not on this node`, { field: `spec.volumes[${index}].source` });
        // All of it is read and compared before anything of the workload is touched: a damaged snapshot changes nothing.
        await phase(progress, "snapshot.verify", async () => {
          await rm(images, { recursive: true, force: true });
          await mkdir(images, { recursive: true, mode: 0o700 });
          for (const image of body.images) await writeContent(store, image, join(images, image.name), signal);
          for (const { id } of chunksOf(body)) if (!(await store.hasChunk(id))) await store.getChunk(id);
        });
        await faultpoint("snapshot.verified");
        if (body.image !== undefined) await requireImage(host, spec, body.image, signal);
        return await bringBack(host, store, body, spec, epoch, images, progress, signal);
      } finally {
        await rm(images, { recursive: true, force: true });
      }
    },

    async verify(snapshotId, _spec, progress) {
      const { head } = readHead(snapshotId, await requireManifest(snapshotId));
      await phase(progress, "snapshot.verify", async () => {
        for (const id of head.chunks) await store.getChunk(id);
      });
    },

    async remove(snapshotId) {
      await removeSnapshot(store, snapshotId);
      await rm(join(host.options.snapshotDir, snapshotId), { recursive: true, force: true }); // of before chunks
    },
  };
}

const entryOf = ({ name, bytes, sha256 }: { name: string; bytes: number; sha256: string }): ManifestEntry => ({ name, bytes, sha256 });
