// A checkpoint in the store: images and files in one folder, a manifest with every digest, renamed into place when it is whole.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { cp, mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Fault, fault } from "@aether/contract";
import { run, writeFileAtomic } from "@aether/kit";
import { z } from "zod";
import { dump, restore } from "../checkpoint/criu.ts";
import type { ManifestEntry, Snapshots, WorkloadSpec } from "../engine.ts";
import { travellingTrees } from "../files/sync.ts";
import { createTreeHasher } from "../files/tree-digest.ts";
import { attributeReader } from "../files/xattrs.ts";
import type { Host } from "../host.ts";
import { imagePin, requireImage } from "../image/images.ts";
import { leadHere, makeNetwork } from "../network/workload-network.ts";
import { makeEvidence } from "../receipt/evidence.ts";
import { observe } from "../receipt/observe.ts";
import { readRecord, requireRecord, writeRecord } from "../record.ts";
import { freeze, makeCgroups, pidsOf, signalPid, thaw } from "../runtime/cgroup.ts";
import { statOf } from "../runtime/process.ts";
import { mountRootfs, prepareRootfs } from "../runtime/rootfs.ts";
import { destroy, plain, statusOf } from "../runtime/runtime.ts";
import { phase } from "../steps/journal.ts";

const snapshotManifest = z.object({
  entries: z.array(z.object({ name: z.string(), bytes: z.number(), sha256: z.string() })),
  filesDigest: z.string(),
  stdio: z.object({ stdout: z.number(), stderr: z.number() }),
  image: imagePin.optional(),
});

export function createSnapshots(host: Host): Snapshots {
  const folder = (id: string) => {
    if (!/^[a-z0-9-]{1,60}$/.test(id)) throw fault("INVALID_ARGUMENT", `${id} is not the name of a snapshot`, { field: "snapshot_id" });
    return join(host.options.snapshotDir, id);
  };
  return {
    async create(workload, snapshotId, progress, signal) {
      const record = await requireRecord(host, workload);
      if (record.phase !== "running") throw fault("WORKLOAD_NOT_RUNNING", `${workload} is ${record.phase}`);
      const half = `${folder(snapshotId)}.half`;
      const images = join(half, "images");
      await rm(half, { recursive: true, force: true });
      await mkdir(images, { recursive: true, mode: 0o700 });
      const trees = travellingTrees(host, record.spec);
      const began = performance.now();
      let freezeMs = 0;
      try {
        await freeze(host, workload);
        await phase(progress, "snapshot.dump", () => dump(host, record, images, signal));
        for (const tree of trees)
          await run(host.options.tools.rsync, ["-aHAXS", "--numeric-ids", `${tree.path}/`, `${join(half, tree.name)}/`], {
            deadlineMs: 600_000,
            signal,
          });
        const files = await createTreeHasher(attributeReader(host.options.tools.native)).digest(trees);
        const entries = await digestImages(images);
        const { manifest } = makeEvidence(entries, files, await observe(host, workload));
        await thaw(host, workload);
        freezeMs = performance.now() - began;
        const kept = { entries, filesDigest: files.digest, stdio: record.stdio ?? { stdout: 0, stderr: 0 }, image: record.image };
        await writeFileAtomic(join(half, "manifest.json"), JSON.stringify(kept));
        await rename(half, folder(snapshotId));
        return { manifest, bytes: entries.reduce((sum, entry) => sum + entry.bytes, files.bytes), freezeMs };
      } catch (caught) {
        const problem = Fault.from(caught);
        await rm(half, { recursive: true, force: true });
        throw problem;
      } finally {
        await thaw(host, workload);
      }
    },
    async restore(snapshotId, spec, epoch, progress, signal) {
      const from = folder(snapshotId);
      const kept = await readKept(from, snapshotId);
      const existing = await readRecord(host, spec.name);
      if (existing !== undefined && ["running", "frozen", "prepared", "restored"].includes(existing.phase))
        throw fault("WORKLOAD_RUNNING", `${spec.name} is ${existing.phase} on this node`);
      if (existing !== undefined && existing.epoch > epoch) throw fault("STALE_EPOCH", `${spec.name} is in epoch ${existing.epoch}`);
      await phase(progress, "snapshot.verify", () => compareWithManifest(host, from, kept, snapshotId, spec));
      if (kept.image !== undefined) await requireImage(host, spec, kept.image, signal);
      await destroy(host, spec.name, spec.address, signal);
      await writeRecord(host, { spec: plain(spec), epoch, phase: "starting" });
      try {
        for (const tree of travellingTrees(host, spec)) {
          await mkdir(tree.path, { recursive: true });
          await run(host.options.tools.rsync, ["-aHAXS", "--numeric-ids", "--delete", `${join(from, tree.name)}/`, `${tree.path}/`], {
            deadlineMs: 600_000,
            signal,
          });
        }
        // criu writes its log beside the images: a copy keeps the stored snapshot as it was signed for.
        const images = join(host.memoryDir, snapshotId);
        await cp(join(from, "images"), images, { recursive: true });
        try {
          await prepareRootfs(host, spec);
          await mountRootfs(host, spec, kept.image);
          await makeNetwork(host, spec.name, spec.address);
          await makeCgroups(host, spec.name, spec.memoryLimitBytes);
          const launched = await phase(progress, "snapshot.restore", () =>
            restore(host, spec, images, { isLazy: false, stdio: kept.stdio, isLeftStopped: true }, signal),
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
            ...(kept.image === undefined ? {} : { image: kept.image }),
          };
          await writeRecord(host, record);
          for (const pid of await pidsOf(host, spec.name)) signalPid(pid, "SIGCONT");
          await leadHere(host, spec.name, spec.address);
          return statusOf(record);
        } finally {
          await rm(images, { recursive: true, force: true });
        }
      } catch (caught) {
        const problem = Fault.from(caught);
        await destroy(host, spec.name, spec.address, AbortSignal.timeout(20_000));
        await writeRecord(host, { spec: plain(spec), epoch, phase: "stopped" });
        throw problem;
      }
    },
    async verify(snapshotId, spec, progress) {
      const from = folder(snapshotId);
      const kept = await readKept(from, snapshotId);
      await phase(progress, "snapshot.verify", () => compareWithManifest(host, from, kept, snapshotId, spec));
    },
    async remove(snapshotId) {
      await rm(folder(snapshotId), { recursive: true, force: true });
    },
  };
}

async function readKept(from: string, snapshotId: string): Promise<z.infer<typeof snapshotManifest>> {
  const text = await readFile(join(from, "manifest.json"), "utf8").catch((cause: unknown) => {
    throw fault("SNAPSHOT_NOT_FOUND", `${snapshotId} is not in the store of this node`, { cause });
  });
  return snapshotManifest.parse(JSON.parse(text));
}

/** Every byte against its digest. Throws SNAPSHOT_CORRUPT. */
async function compareWithManifest(
  host: Host,
  from: string,
  kept: z.infer<typeof snapshotManifest>,
  snapshotId: string,
  spec: WorkloadSpec,
): Promise<void> {
  const found = await digestImages(join(from, "images"));
  const wrong = kept.entries.find((entry) => found.find((one) => one.name === entry.name)?.sha256 !== entry.sha256);
  if (wrong !== undefined || found.length !== kept.entries.length)
    throw fault("SNAPSHOT_CORRUPT", `${snapshotId}: ${wrong?.name ?? "the set of images"} does not match the manifest`, {
      details: { snapshotId },
    });
  const trees = travellingTrees(host, spec).map(({ name }) => ({ name, path: join(from, name) }));
  const files = await createTreeHasher(attributeReader(host.options.tools.native)).digest(trees);
  if (files.digest !== kept.filesDigest)
    throw fault("SNAPSHOT_CORRUPT", `${snapshotId}: its files do not match the manifest`, { details: { snapshotId } });
}

async function digestImages(dir: string): Promise<ManifestEntry[]> {
  const entries: ManifestEntry[] = [];
  for (const name of (await readdir(dir)).filter((one) => one.endsWith(".img")).sort()) {
    const hash = createHash("sha256");
    await pipeline(createReadStream(join(dir, name)), hash);
    entries.push({ name, bytes: (await stat(join(dir, name))).size, sha256: hash.digest("hex") });
  }
  return entries;
}
