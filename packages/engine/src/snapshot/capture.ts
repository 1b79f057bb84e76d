// The stop of a snapshot: the workload stands still while criu dumps it and what was written of its files since the mirror was made is copied. Whatever
// happens to this process meanwhile, the workload goes on.
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { faultpoint, run } from "@aether/kit";
import { readyDump } from "../checkpoint/criu.ts";
import { armGuard } from "../checkpoint/guard.ts";
import { mendTasks, removeDumpMounts } from "../checkpoint/leftovers.ts";
import type { Progress } from "../engine.ts";
import { touchMappedFiles } from "../files/mapped.ts";
import { readingRunning, travellingTrees } from "../files/sync.ts";
import { createTreeHasher, type NamedTree } from "../files/tree-digest.ts";
import { type Host, migrationDir } from "../host.ts";
import type { KeptMemory } from "../memory/keep.ts";
import { pageBytes } from "../memory/rounds.ts";
import { descriptorsOf, type Observed, observe } from "../receipt/observe.ts";
import type { WorkloadRecord } from "../record.ts";
import { freeze, thaw } from "../runtime/cgroup.ts";
import { phase } from "../steps/journal.ts";

export const filesDeadlineMs = 600_000;

export interface Captured {
  readonly observed: Observed;
  /** Memory that criu read, and with it what the tracker read, inside the stop. */
  readonly imageBytes: number;
  readonly freezeBytes: number;
  readonly freezeMs: number;
}

/** Stops the workload for as long as the dump and the last changes of its files take. */
export async function capture(
  host: Host,
  record: WorkloadRecord,
  snapshotId: string,
  images: string,
  mirrors: readonly NamedTree[],
  kept: KeptMemory | undefined,
  progress: Progress,
  signal: AbortSignal,
): Promise<Captured> {
  const { name } = record.spec;
  const trees = travellingTrees(host, record.spec);
  const hasher = createTreeHasher();
  for (const { path } of trees) await run("sync", ["-f", path], { deadlineMs: 120_000, signal });
  const stamp = await hasher.stamp(trees);
  await phase(progress, "snapshot.files", async () => {
    for (const [at, mirror] of mirrors.entries()) {
      await mkdir(mirror.path, { recursive: true, mode: 0o700 });
      await copyTree(host, trees[at]?.path ?? "", mirror.path, false, signal);
    }
  });
  await kept?.fresh(signal);
  const criu = await readyDump(host, record, images, kept?.held); // started before the stop: it waits for a word
  // When this process dies or hangs inside the stop, the workload runs again by itself; a snapshot that was let run is none.
  const guard = await armGuard(host, snapshotId, record, images, criu.pid ?? 0).catch((caught: unknown) => {
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
    guard.dumping();
    await phase(progress, "snapshot.dump", () => criu.go(signal));
    guard.dumped();
    await faultpoint("snapshot.dumped");
    await kept?.sealed();
    const observed = await observe(host, name, descriptors);
    await phase(progress, "snapshot.last_files", async (facts) => {
      await touchMappedFiles(host, name);
      const isUnchanged = stamp !== undefined && stamp === (await hasher.stamp(trees));
      facts.copied = String(!isUnchanged);
      if (isUnchanged) return;
      for (const [at, mirror] of mirrors.entries())
        await copyTree(host, trees[at]?.path ?? "", mirror.path, true, signal, stamp === undefined ? ["--checksum"] : []);
    });
    await guard.disarm();
    isWhole = true;
    const imageBytes = await pagesIn(images);
    return { observed, imageBytes, freezeBytes: imageBytes + (last?.lastPages ?? 0) * pageBytes, freezeMs: performance.now() - began };
  } finally {
    criu.drop();
    await guard.end();
    if (!isWhole) await mend(host, record, images);
    await thaw(host, name);
    await rm(migrationDir(host, snapshotId), { recursive: true, force: true }); // the guard's
  }
}

/** What a dump that was ended leaves in its processes, before they go on. Whatever becomes of it, they go on. */
async function mend(host: Host, record: WorkloadRecord, images: string): Promise<void> {
  try {
    await mendTasks(host, record, images);
    await removeDumpMounts(host, record);
  } catch (caught) {
    host.options.log.error({ err: caught, workload: record.spec.name }, "snapshot.not_mended");
  }
}

const copyTree = (host: Host, from: string, to: string, isStopped: boolean, signal: AbortSignal, more: readonly string[] = []) => {
  const { rsync } = host.options.tools;
  // Without the window of -1, rsync takes two times in one second for equal: what was written in place right after the first pass would be missed.
  const args = ["-aHAXS", "--modify-window=-1", "--numeric-ids", "--delete", ...more, `${from}/`, `${to}/`];
  const [program, all] = isStopped ? [rsync, args] : readingRunning(host, from, rsync, args);
  // 24: files vanished while they were read, which a running workload does; inside the freeze nothing vanishes.
  return run(program, all, { deadlineMs: filesDeadlineMs, signal, okCodes: [0, 24] });
};

/** Bytes of memory in the images so far. */
async function pagesIn(images: string): Promise<number> {
  const names = (await readdir(images)).filter((name) => /^pages-.*\.img$/.test(name));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(images, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
