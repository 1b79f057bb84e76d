// A workload out of a snapshot whose bytes were all read and compared.
import { access, copyFile, mkdir, rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import { Fault, fault } from "@aether/contract";
import { faultpoint, run } from "@aether/kit";
import { restore } from "../checkpoint/criu.ts";
import type { Progress, WorkloadSpec, WorkloadStatus } from "../engine.ts";
import { travellingTrees } from "../files/sync.ts";
import { createTreeHasher } from "../files/tree-digest.ts";
import { attributeReader } from "../files/xattrs.ts";
import type { Host } from "../host.ts";
import { announce, leadHere, makeNetwork } from "../network/workload-network.ts";
import { writeRecord } from "../record.ts";
import { limitPids, makeCgroups, pidsOf, signalPid } from "../runtime/cgroup.ts";
import { statOf } from "../runtime/process.ts";
import { mountRootfs, prepareRootfs } from "../runtime/rootfs.ts";
import { destroy, plain, statusOf } from "../runtime/runtime.ts";
import { shimFiles } from "../runtime/shim.ts";
import { outputTailName } from "../steps/images.ts";
import { phase } from "../steps/journal.ts";
import { filesDeadlineMs } from "./capture.ts";
import type { SnapshotBody } from "./manifest.ts";
import type { SnapshotStore } from "./store.ts";
import { restoreTree } from "./trees.ts";

/** @param images criu's, in a folder of their own. Where it fails, nothing of the workload is left running. */
export async function bringBack(
  host: Host,
  store: SnapshotStore,
  body: SnapshotBody,
  spec: WorkloadSpec,
  epoch: number,
  images: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<WorkloadStatus> {
  const { native, rsync } = host.options.tools;
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
    await faultpoint("snapshot.files_back");
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
    await faultpoint("snapshot.restored");
    await limitPids(host, spec.name, spec.pidsLimit);
    for (const pid of await pidsOf(host, spec.name)) signalPid(pid, "SIGCONT");
    await leadHere(host, spec.name, spec.address);
    // Only now: who dies before this finds a workload that was starting, takes it away, and is asked again. One that is said to run must run, with its network.
    await writeRecord(host, record);
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

export const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
