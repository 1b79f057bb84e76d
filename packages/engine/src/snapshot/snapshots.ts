// A checkpoint in the store, while the workload runs on: its files are mirrored before, inside the freeze are criu's dump and what was written since;
// everything else (cutting, hashing, compressing, encrypting, storing) happens after the thaw. Only chunks that no earlier snapshot of the
// workload has are written. A snapshot is whole by itself: none depends on another but by chunks that are there.
import { access, copyFile, mkdir, readdir, rm, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault, fault } from "@aether/contract";
import { faultpoint, run } from "@aether/kit";
import { readyDump, restore } from "../checkpoint/criu.ts";
import { armGuard } from "../checkpoint/guard.ts";
import { mendSockets, removeDumpMounts } from "../checkpoint/leftovers.ts";
import type { ManifestEntry, Progress, SnapshotKey, SnapshotLimits, Snapshots, WorkloadSpec } from "../engine.ts";
import { touchMappedFiles } from "../files/mapped.ts";
import { sharedVolumes } from "../files/shared.ts";
import { readingRunning, travellingTrees } from "../files/sync.ts";
import { createTreeHasher, type NamedTree } from "../files/tree-digest.ts";
import { attributeReader } from "../files/xattrs.ts";
import { type Host, migrationDir, workloadDir } from "../host.ts";
import { requireImage } from "../image/images.ts";
import { type KeptMemory, keepAhead } from "../memory/keep.ts";
import { type Abilities, stopAndCopyMaxBytes } from "../memory/mode.ts";
import { untrackable } from "../memory/pins.ts";
import { pageBytes } from "../memory/rounds.ts";
import { announce, leadHere, makeNetwork } from "../network/workload-network.ts";
import { makeEvidence } from "../receipt/evidence.ts";
import { descriptorsOf, observe } from "../receipt/observe.ts";
import { readRecord, requireRecord, type WorkloadRecord, writeRecord } from "../record.ts";
import { freeze, makeCgroups, pidsOf, signalPid, thaw } from "../runtime/cgroup.ts";
import { residentBytes, statOf } from "../runtime/process.ts";
import { mountRootfs, prepareRootfs } from "../runtime/rootfs.ts";
import { destroy, plain, statusOf } from "../runtime/runtime.ts";
import { outputTail, shimFiles } from "../runtime/shim.ts";
import { outputTailName } from "../steps/images.ts";
import { phase } from "../steps/journal.ts";
import { exportSnapshot, importSnapshot } from "./artifact.ts";
import { expectWhole, overBudget, type WholeDump } from "./budget.ts";
import { type ChunkWriter, createChunkWriter, writeContent } from "./content.ts";
import { type ChunkRef, chunksOf, readBody, readHead, type SnapshotBody, writeManifest } from "./manifest.ts";
import { pageCuts } from "./pages.ts";
import { openS3Store } from "./s3-store.ts";
import { openDirectoryStore, parseSnapshotId } from "./store.ts";
import { mirrorOf, restoreTree, storeTree } from "./trees.ts";

const filesDeadlineMs = 600_000;

export interface OwnedSnapshots extends Snapshots {
  /** Called once, before anything else: what a crash of this host left unfinished holds nobody up. */
  recover(): Promise<void>;
}

/** @param abilities of this host, as its trial checkpoint found them */
export function createSnapshots(host: Host, abilities: () => Abilities): OwnedSnapshots {
  const { snapshotDir, snapshotBucket, hostId } = host.options;
  const store = snapshotBucket === undefined ? openDirectoryStore(snapshotDir, hostId) : openS3Store(snapshotBucket, hostId);
  const { native, rsync } = host.options.tools;
  /** What the newest snapshot of each workload holds, so that it need not be read and decrypted for the next. */
  const newest = new Map<string, SnapshotBody>();

  async function requireManifest(snapshotId: string): Promise<Buffer> {
    const bytes = await store.getManifest(parseSnapshotId(snapshotId));
    if (bytes === undefined) throw fault("SNAPSHOT_NOT_FOUND", `${snapshotId} is not in the store of this node`);
    return bytes;
  }

  /** The last snapshot of this workload whose body this key opens; after a restart it is looked for among the newest. */
  async function lastOf(workload: string, key: SnapshotKey): Promise<SnapshotBody | undefined> {
    const known = newest.get(workload);
    if (known !== undefined) return known;
    for (const id of (await store.listManifests()).slice(0, 200)) {
      const bytes = await store.getManifest(id);
      if (bytes === undefined) continue;
      try {
        if (readHead(id, bytes).head.workload === workload) return readBody(id, bytes, key);
      } catch (caught) {
        host.options.log.warn({ err: Fault.from(caught), snapshotId: id }, "snapshot.unreadable"); // costs a whole write, loses nothing
      }
    }
    return undefined;
  }

  const copyTree = (from: string, to: string, isStopped: boolean, signal: AbortSignal, more: readonly string[] = []) => {
    // Without the window of -1, rsync takes two times in one second for equal: what was written in place right after the first pass would be missed.
    const args = ["-aHAXS", "--modify-window=-1", "--numeric-ids", "--delete", ...more, `${from}/`, `${to}/`];
    const [program, all] = isStopped ? [rsync, args] : readingRunning(host, from, rsync, args);
    // 24: files vanished while they were read, which a running workload does; inside the freeze nothing vanishes.
    return run(program, all, { deadlineMs: filesDeadlineMs, signal, okCodes: [0, 24] });
  };

  /** How long whole dumps of each workload took: better than any assumption. */
  const wholes = new Map<string, WholeDump>();

  /**
   * Memory copied while it runs, where that shortens the stop; otherwise undefined, and the dump has all of it inside the stop. Throws SNAPSHOT_OVER_BUDGET
   * where neither way keeps to the limit.
   */
  async function copied(
    { spec: { name } }: WorkloadRecord,
    snapshotId: string,
    images: string,
    { maxFreezeMs }: SnapshotLimits,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<KeptMemory | undefined> {
    const pids = await pidsOf(host, name);
    const memoryBytes = await residentBytes(pids);
    const { costs, noTracking } = abilities();
    let why = noTracking === "" ? await untrackable(pids, !host.criuReadsHeld) : `memory cannot be tracked here: ${noTracking}`;
    if (why === undefined && memoryBytes > stopAndCopyMaxBytes) {
      try {
        const kept = await phase(progress, "snapshot.memory", () => keepAhead(host, name, snapshotId, images, costs, progress, signal));
        const { freezeMs, freezeBytes } = kept.report.forecast;
        if (maxFreezeMs === undefined || freezeMs <= maxFreezeMs) return kept;
        kept.close();
        throw overBudget(name, freezeMs, maxFreezeMs, `${mebibytes(freezeBytes)} MiB are written too fast to be copied before`);
      } catch (caught) {
        const problem = Fault.from(caught);
        signal.throwIfAborted();
        if (problem.code === "SNAPSHOT_OVER_BUDGET") throw problem;
        host.options.log.warn({ workload: name, err: caught }, "snapshot.not_ahead");
        why = problem.message;
      }
    }
    const expectedMs = expectWhole(memoryBytes, costs.fixedMs, wholes.get(name));
    if (maxFreezeMs === undefined || expectedMs <= maxFreezeMs) return undefined;
    wholes.delete(name); // a measurement that refuses must not do so for ever: the next attempt goes by the assumption again
    throw overBudget(
      name,
      expectedMs,
      maxFreezeMs,
      `all of its ${mebibytes(memoryBytes)} MiB travel inside it${why === undefined ? "" : `, as ${why}`}`,
    );
  }

  /** Stops the workload for as long as the dump and the last changes of its files take. */
  async function capture(
    record: WorkloadRecord,
    snapshotId: string,
    images: string,
    mirrors: readonly NamedTree[],
    kept: KeptMemory | undefined,
    progress: Progress,
    signal: AbortSignal,
  ) {
    const { name } = record.spec;
    const trees = travellingTrees(host, record.spec);
    const hasher = createTreeHasher();
    for (const { path } of trees) await run("sync", ["-f", path], { deadlineMs: 120_000, signal });
    const stamp = await hasher.stamp(trees);
    await phase(progress, "snapshot.files", async () => {
      for (const [at, mirror] of mirrors.entries()) {
        await mkdir(mirror.path, { recursive: true, mode: 0o700 });
        await copyTree(trees[at]?.path ?? "", mirror.path, false, signal);
      }
    });
    await kept?.fresh(signal);
    const criu = await readyDump(host, record, images, kept?.held); // started before the stop: it waits for a word
    // When this process dies or hangs inside the stop, the workload runs again by itself; a snapshot that was let run is none.
    const guard = await armGuard(host, snapshotId, record, criu.pid ?? 0).catch((caught: unknown) => {
      criu.drop();
      throw caught;
    });
    const began = performance.now();
    let isWhole = false;
    try {
      await freeze(host, name);
      await faultpoint("snapshot.frozen");
      const last = await kept?.frozen();
      const descriptors = await descriptorsOf(host, name);
      await phase(progress, "snapshot.dump", () => criu.go(signal));
      guard.dumped();
      await kept?.sealed();
      const observed = await observe(host, name, descriptors);
      await phase(progress, "snapshot.last_files", async (facts) => {
        await touchMappedFiles(host, name);
        const isUnchanged = stamp !== undefined && stamp === (await hasher.stamp(trees));
        facts.copied = String(!isUnchanged);
        if (isUnchanged) return;
        for (const [at, mirror] of mirrors.entries())
          await copyTree(trees[at]?.path ?? "", mirror.path, true, signal, stamp === undefined ? ["--checksum"] : []);
      });
      await guard.disarm();
      isWhole = true;
      const freezeBytes = (await pagesIn(images)) + (last?.lastPages ?? 0) * pageBytes;
      return { observed, freezeBytes, freezeMs: performance.now() - began };
    } finally {
      criu.drop();
      await guard.end();
      if (!isWhole) await mend(record);
      await thaw(host, name);
      await rm(migrationDir(host, snapshotId), { recursive: true, force: true }); // the guard's
      await kept?.thawed();
    }
  }

  /** What a dump that was ended leaves in its processes, before they go on. Whatever becomes of it, they go on. */
  async function mend(record: WorkloadRecord): Promise<void> {
    try {
      await removeDumpMounts(host, record);
      await mendSockets(host, record);
    } catch (caught) {
      host.options.log.error({ err: caught, workload: record.spec.name }, "snapshot.not_mended");
    }
  }

  async function storeImages(dir: string, writer: ChunkWriter): Promise<SnapshotBody["images"]> {
    const names = (await readdir(dir)).filter((name) => name.endsWith(".img") || name === outputTailName).sort();
    const cuts = new Map<string, number[]>();
    for (const name of names.filter((one) => one.startsWith("pagemap-"))) {
      const cut = await pageCuts(join(dir, name)).catch((caught: unknown) => {
        host.options.log.warn({ err: caught, name }, "snapshot.pagemap"); // cut evenly: more is written than need be, nothing is lost
        return undefined;
      });
      if (cut !== undefined) cuts.set(`pages-${cut.pagesId}.img`, cut.lengths);
    }
    const images: SnapshotBody["images"] = [];
    for (const name of names) images.push({ name, ...(await writer.put(join(dir, name), cuts.get(name))) });
    return images;
  }

  return {
    recover: () => store.recover(),
    exportTo: (snapshotId) => exportSnapshot(store, snapshotId),
    importFrom: (snapshotId, source, signal) => importSnapshot(store, snapshotId, source, signal),
    async create(workload, snapshotId, key, limits, progress, signal) {
      parseSnapshotId(snapshotId);
      const record = await requireRecord(host, workload);
      if (record.phase !== "running") throw fault("WORKLOAD_NOT_RUNNING", `${workload} is ${record.phase}`);
      const began = performance.now();
      const cpu = process.cpuUsage();
      const images = join(host.memoryDir, `snapshot-${snapshotId}`);
      const end = await store.begin(snapshotId, signal);
      try {
        await rm(images, { recursive: true, force: true });
        await mkdir(images, { recursive: true, mode: 0o700 });
        const mirrors = travellingTrees(host, record.spec).map(({ name }) => ({ name, path: mirrorOf(workloadDir(host, workload), name) }));
        const kept = await copied(record, snapshotId, images, limits, progress, signal);
        let captured: Awaited<ReturnType<typeof capture>>;
        let keptSeconds = 0;
        try {
          captured = await capture(record, snapshotId, images, mirrors, kept, progress, signal);
          if (kept !== undefined) await phase(progress, "snapshot.merge", () => kept.merge(signal));
          keptSeconds = (await kept?.cpuSeconds()) ?? 0;
        } finally {
          kept?.close();
        }
        const { observed, freezeMs, freezeBytes } = captured;
        if (kept === undefined) wholes.set(workload, { freezeMs, memoryBytes: observed.residentBytes });
        await writeFile(join(images, outputTailName), await outputTail(host, workload));
        return await phase(progress, "snapshot.store", async (facts) => {
          const before = await lastOf(workload, key);
          const known = new Map<string, ChunkRef>((before === undefined ? [] : chunksOf(before)).map((chunk) => [chunk.plain, chunk]));
          const writer = createChunkWriter(store, known, signal);
          const stored = await storeImages(images, writer);
          const trees: SnapshotBody["trees"] = [];
          for (const mirror of mirrors) {
            const earlier = before?.trees.find(({ name }) => name === mirror.name)?.entries ?? [];
            trees.push({ name: mirror.name, entries: await storeTree(mirror, writer, native, earlier) });
          }
          const files = await createTreeHasher(attributeReader(native)).digest(mirrors);
          const body: SnapshotBody = {
            workload,
            stdio: record.stdio ?? { stdout: 0, stderr: 0 },
            ...(record.image === undefined ? {} : { image: record.image }),
            images: stored,
            trees,
            filesDigest: files.digest,
          };
          const lost = (await Promise.all(chunksOf(body).map(async ({ id }) => ((await store.hasChunk(id)) ? [] : [id])))).flat();
          if (lost.length > 0) throw fault("SNAPSHOT_CORRUPT", `${lost.length} chunks went from the store while the snapshot was made`);
          const written = writeManifest(snapshotId, Date.now(), body, key);
          await faultpoint("snapshot.before_manifest");
          await store.putManifest(snapshotId, written.bytes);
          newest.set(workload, body);
          facts.storedBytes = String(writer.counts.storedBytes + written.bytes.length);
          const used = process.cpuUsage(cpu);
          return {
            manifest: makeEvidence(stored.map(entryOf), files, observed).manifest,
            bytes: stored.reduce((sum, image) => sum + image.bytes, files.bytes),
            freezeMs,
            freezeBytes,
            storedBytes: writer.counts.storedBytes + written.bytes.length,
            chunkCount: chunksOf(body).length,
            newChunkCount: writer.counts.newChunks,
            cpuSeconds: (used.user + used.system) / 1e6 + keptSeconds,
            totalMs: performance.now() - began,
            manifestSha256: written.sha256,
          };
        });
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
        if (body.image !== undefined) await requireImage(host, spec, body.image, signal);
        return await bringBack(body, spec, epoch, images, progress, signal);
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
      await store.deleteManifest(snapshotId);
      await rm(join(host.options.snapshotDir, snapshotId), { recursive: true, force: true }); // of before chunks
      await store.sweep(async () => {
        const used = new Set<string>();
        for (const id of await store.listManifests()) {
          const bytes = await store.getManifest(id);
          // What cannot be read might need anything: nothing is swept then.
          if (bytes !== undefined) for (const chunk of readHead(id, bytes).head.chunks) used.add(chunk);
        }
        return used;
      });
    },
  };

  async function bringBack(body: SnapshotBody, spec: WorkloadSpec, epoch: number, images: string, progress: Progress, signal: AbortSignal) {
    await destroy(host, spec.name, spec.address, signal);
    await writeRecord(host, { spec: plain(spec), epoch, phase: "starting" });
    try {
      const trees = travellingTrees(host, spec);
      await phase(progress, "snapshot.files", async () => {
        for (const tree of trees) {
          // Beside its place first: an interrupted restore leaves the old files or the new ones, never a mixture.
          const beside = `${tree.path}.${epoch}.new`;
          await rm(beside, { recursive: true, force: true });
          await restoreTree(beside, body.trees.find(({ name }) => name === tree.name)?.entries ?? [], store, native, signal);
          await mkdir(tree.path, { recursive: true });
          // A volume may be a mount: its directory stays, what is in it becomes what was.
          await run(rsync, ["-aHAXS", "--numeric-ids", "--delete", `${beside}/`, `${tree.path}/`], { deadlineMs: filesDeadlineMs, signal });
          await rm(beside, { recursive: true, force: true });
        }
        const files = await createTreeHasher(attributeReader(native)).digest(trees);
        if (files.digest !== body.filesDigest) throw fault("SNAPSHOT_CORRUPT", "the files did not come back as they were");
      });
      await prepareRootfs(host, spec);
      await mountRootfs(host, spec, body.image);
      await makeNetwork(host, spec.name, spec.address);
      await makeCgroups(host, spec.name, spec.memoryLimitBytes);
      const tail = join(images, outputTailName);
      if (await isThere(tail)) {
        await copyFile(tail, shimFiles(host, spec.name).log);
        await unlink(tail);
      }
      const launched = await phase(progress, "snapshot.restore", () =>
        restore(host, spec, images, { isLazy: false, stdio: body.stdio, isLeftStopped: true }, signal),
      );
      const ticks = (await statOf(launched.pid))?.startTicks;
      const record = {
        spec: plain(spec),
        epoch,
        phase: "running" as const,
        pid: launched.pid,
        ...(ticks === undefined ? {} : { pidStartTicks: ticks }),
        shimPid: launched.shimPid,
        stdio: { stdout: launched.stdoutInode, stderr: launched.stderrInode },
        ...(body.image === undefined ? {} : { image: body.image }),
      };
      await writeRecord(host, record);
      for (const pid of await pidsOf(host, spec.name)) signalPid(pid, "SIGCONT");
      await leadHere(host, spec.name, spec.address);
      // Neighbours may still send to the node that had it.
      await announce(host, spec.address).catch((caught: unknown) => host.options.log.warn({ err: caught }, "network.announce"));
      return statusOf(record);
    } catch (caught) {
      const problem = Fault.from(caught);
      await destroy(host, spec.name, spec.address, AbortSignal.timeout(20_000));
      await writeRecord(host, { spec: plain(spec), epoch, phase: "stopped" });
      throw problem;
    }
  }
}

const entryOf = ({ name, bytes, sha256 }: { name: string; bytes: number; sha256: string }): ManifestEntry => ({ name, bytes, sha256 });

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);

/** Bytes of memory in the images so far. */
async function pagesIn(images: string): Promise<number> {
  const names = (await readdir(images)).filter((name) => /^pages-.*\.img$/.test(name));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(images, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
