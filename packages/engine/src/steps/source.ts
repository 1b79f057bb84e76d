// The host that the workload leaves: what can be copied ahead, then the freeze, then a way back or away.
import { fault } from "@aether/contract";
import { faultpoint, run } from "@aether/kit";
import { endOrphanedCriu } from "../checkpoint/leftovers.ts";
import type { MigrationRef, Peer, Progress, SourceSide } from "../engine.ts";
import { compareSharedVolumes, type SharedVolume, sharedVolumes } from "../files/shared.ts";
import { sendTree, travellingTrees } from "../files/sync.ts";
import type { Host } from "../host.ts";
import { sendImage } from "../image/travel.ts";
import type { KernelWatch } from "../kernel/facts.ts";
import type { Link } from "../link/link.ts";
import { alwaysInheritedBytes, copyAhead, type LinkRates } from "../memory/ahead.ts";
import type { DirtyRate } from "../memory/dirty-rate.ts";
import type { Abilities, KnownRates } from "../memory/mode.ts";
import { preflight } from "../preflight/preflight.ts";
import { forgetRecord, readRecord, removeWorkloadDir } from "../record.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { residentBytes } from "../runtime/process.ts";
import { destroy } from "../runtime/runtime.ts";
import { freezeWorkload } from "./freeze.ts";
import { dropImages, phase, refOf, writeMigration } from "./journal.ts";
import { requireRunning, runAgain } from "./run-again.ts";
import { createSourceSessions } from "./source-session.ts";

export function createSourceSide(host: Host, link: Link, watch: KernelWatch, dirty: DirtyRate, abilities: () => Abilities): SourceSide {
  /** Bytes a second to a node, as the last move found it. */
  const rates = new Map<string, LinkRates>();
  /** What the last preflight of a workload was told. */
  const told = new Map<string, KnownRates>();
  const sessions = createSourceSessions(host, link, watch, dirty);

  async function compareShared(ref: MigrationRef, peer: Peer, volumes: readonly SharedVolume[], progress: Progress, signal: AbortSignal) {
    await phase(progress, "copy.shared", async (facts) => {
      const channel = await link.connect(peer, { migrationId: ref.migrationId, channel: "shared" }, signal);
      try {
        await compareSharedVolumes(host, volumes, channel, peer.nodeId, facts, signal);
      } finally {
        channel.socket.destroy();
      }
    });
  }

  return {
    preflight(workload, requested, target, known, signal) {
      told.set(workload, known);
      return preflight(host, workload, { requested, target, here: abilities(), known }, signal);
    },

    async copy(ref, peer, mode, limits, progress, signal) {
      const record = await requireRunning(host, ref);
      await writeMigration(host, { ...refOf(ref, "source"), stage: "copying", mode });
      const session = sessions.open(ref, peer.nodeId);
      const isLarge = mode === "pre-copy" && (await residentBytes(await pidsOf(host, ref.workload))) > alwaysInheritedBytes;
      const writes = isLarge ? dirty.measure(ref.workload, signal).catch(() => undefined) : undefined; // beside the files
      await watch.arm(ref.workload); // attached now, so that it costs the freeze nothing
      const shared = sharedVolumes(record.spec.volumes);
      if (shared.length > 0) await compareShared(ref, peer, shared, progress, signal);
      const trees = travellingTrees(host, record.spec);
      const roots = trees.map((tree) => tree.path);
      const files = await phase(progress, "copy.files", async (facts) => {
        // Written pages of mapped files become read-only again by the sync, so that a later write changes the file's times: the stamp sees it.
        for (const root of roots) await run("sync", ["-f", root], { deadlineMs: 120_000, signal });
        const stamp = await session.hasher.stamp(trees);
        if (record.image !== undefined) await sendImage(host, link, peer, ref.migrationId, record.image, signal);
        for (const tree of trees) {
          await sendTree(host, link, peer, ref.migrationId, tree, false, signal);
          await faultpoint("copy.half");
        }
        const files = await session.hasher.warm(trees);
        if (stamp === undefined) delete session.stamp;
        else session.stamp = stamp;
        facts.bytes = String(files?.bytes ?? 0);
        return { fileBytes: files?.bytes ?? 0, fileCount: files?.count ?? 0 };
      });
      const dirtyBytesPerSecond = await writes;
      await dirty.hush(ref.workload);
      if (mode !== "pre-copy") return files;
      session.ahead?.close();
      const ahead = await phase(progress, "copy.memory", async (facts) => {
        const done = await copyAhead(
          host,
          link,
          ref,
          peer,
          limits,
          abilities().costs,
          rates,
          told.get(ref.workload) ?? {},
          { stdio: record.stdio, dirtyBytesPerSecond },
          progress,
          signal,
        );
        facts.end = `${done.report.end ?? ""}: ${done.report.endDetail ?? ""}`;
        return done;
      });
      session.ahead = ahead;
      return { ...files, memory: ahead.report };
    },

    freeze: (ref, peer, mode, progress, signal) =>
      freezeWorkload(host, link, sessions, watch, dirty, abilities(), ref, peer, mode, progress, signal),

    async thaw(ref, progress, _signal, newEpoch) {
      await faultpoint("thaw.before");
      sessions.end(ref);
      await runAgain(host, ref, progress, newEpoch);
      await writeMigration(host, { ...refOf(ref, "source"), stage: "thawed", mode: "stop-and-copy" });
      await dropImages(host, ref.migrationId);
    },

    async release(ref, progress, signal) {
      const record = await readRecord(host, ref.workload);
      if (record === undefined || record.migrationId !== ref.migrationId) return sessions.end(ref); // done before
      if (record.phase !== "frozen")
        throw fault("WORKLOAD_RUNNING", `${ref.workload} is ${record.phase}, not frozen by ${ref.migrationId}`);
      await faultpoint("release.before");
      await phase(progress, "release.source", async () => {
        // First the tasks, then a criu that may still hold them: never the other way round.
        await destroy(host, ref.workload, record.spec.address, signal);
        sessions.end(ref);
        await endOrphanedCriu(host, ref.migrationId); // a page server of an earlier life of ours
        await forgetRecord(host, ref.workload);
        await removeWorkloadDir(host, ref.workload);
        await writeMigration(host, { ...refOf(ref, "source"), stage: "released", mode: "stop-and-copy" });
        await dropImages(host, ref.migrationId);
      });
    },
  };
}
