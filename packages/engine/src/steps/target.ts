// The host that the workload comes to. Promise: until `resume`, no instruction of it has run here and no packet has left; `abort` takes all away again.
import { access, mkdir, rm } from "node:fs/promises";
import { Fault, fault } from "@aether/contract";
import { faultpoint } from "@aether/kit";
import { behindPrivateRun } from "../checkpoint/criu.ts";
import { endOrphanedCriu } from "../checkpoint/leftovers.ts";
import type { MigrationRef, TargetSide } from "../engine.ts";
import { requireReplaceable } from "../files/sync.ts";
import type { Host } from "../host.ts";
import type { KernelWatch } from "../kernel/facts.ts";
import type { Link } from "../link/link.ts";
import { arrivalPids, awaitFilled, openArrival } from "../memory/arrival.ts";
import { endHold, openHold } from "../network/hold.ts";
import { leadToHold, makeNetwork, removeNetwork } from "../network/workload-network.ts";
import { forgetRecord, readRecord, removeWorkloadDir, writeRecord } from "../record.ts";
import { makeCgroups, signalPid } from "../runtime/cgroup.ts";
import { prepareRootfs, rootfsPaths } from "../runtime/rootfs.ts";
import { destroy, plain } from "../runtime/runtime.ts";
import { dropImages, imagesDir, type MigrationRecord, phase, readMigration, refOf, writeMigration } from "./journal.ts";
import { awaitFetched } from "./page-fetch.ts";
import { restoreWorkload } from "./restore.ts";
import { resumeWorkload } from "./resume.ts";
import { createTargetSessions, heldBy, type TargetSession } from "./target-session.ts";

/** The source waits for it, and its workload runs meanwhile. */
const openAgainMs = 10_000;

export function createTargetSide(host: Host, link: Link, watch: KernelWatch): TargetSide {
  const sessions = createTargetSessions(host, link, watch);

  return {
    async prepare(ref, spec, sourceNodeId, mode, progress, signal) {
      const known = await readMigration(host, ref.migrationId);
      if (known !== undefined && known.stage !== "preparing" && known.stage !== "prepared")
        throw fault("STALE_EPOCH", `${ref.migrationId} is ${known.stage} on this node`);
      const existing = await readRecord(host, ref.workload);
      if (
        existing !== undefined &&
        existing.migrationId !== ref.migrationId &&
        ["running", "frozen", "prepared", "restored"].includes(existing.phase)
      )
        throw fault("WORKLOAD_EXISTS", `${ref.workload} is ${existing.phase} on this node`);
      if (existing !== undefined && existing.epoch > ref.epoch + 1)
        throw fault("STALE_EPOCH", `this node has seen epoch ${existing.epoch} of ${ref.workload}`);
      requireReplaceable(host, spec.volumes);
      sessions.close(ref);
      const record: MigrationRecord = { ...refOf(ref, "target"), stage: "preparing", mode, spec: plain(spec), sourceNodeId };
      await writeMigration(host, record);
      await writeRecord(host, { spec: plain(spec), epoch: ref.epoch + 1, phase: "prepared", migrationId: ref.migrationId });
      return phase(progress, "prepare.target", async (facts) => {
        await destroy(host, ref.workload, spec.address, signal);
        await rm(rootfsPaths(host, ref.workload).upper, { recursive: true, force: true });
        await rm(rootfsPaths(host, ref.workload).work, { recursive: true, force: true });
        for (const volume of spec.volumes) {
          if (volume.mode === "sync") await mkdir(volume.source, { recursive: true });
          else
            await access(volume.source).catch((cause: unknown) => {
              throw fault("VOLUME_INVALID", `the shared volume ${volume.source} is not on this node`, { cause });
            });
        }
        await makeNetwork(host, ref.workload, spec.address);
        await makeCgroups(host, ref.workload, spec.memoryLimitBytes);
        await prepareRootfs(host, spec);
        await faultpoint("prepare.after_namespace");
        const session = sessions.open(ref, plain(spec), sourceNodeId);
        session.hold = await openHold(host, ref.workload, spec.address, signal);
        const holder = heldBy(session);
        session.beginHold = () => beginHold(host, ref, session, spec.address);
        await behindPrivateRun(host);
        if (mode === "pre-copy") {
          const images = imagesDir(host, ref.migrationId);
          await mkdir(images, { recursive: true, mode: 0o700 });
          session.arrival = await openArrival(host, ref, images, signal);
        }
        const memoryPid = session.arrival === undefined ? {} : { memoryPid: session.arrival.pid };
        await writeMigration(host, { ...record, stage: "prepared", ...holder, ...memoryPid });
        facts.hold = holder.holdMethod;
        return { linkAddress: link.address, linkPort: link.port, holdMethod: holder.holdMethod };
      });
    },

    restore: (ref, _mode, progress, signal) => restoreWorkload(host, link, sessions, ref, progress, signal),
    resume: (ref, progress, signal) => resumeWorkload(host, sessions, watch, ref, progress, signal),

    async drainPages(ref, progress, signal) {
      const session = sessions.get(ref);
      const { memoryPid, pagesPid } = (await readMigration(host, ref.migrationId)) ?? {};
      if (memoryPid !== undefined) {
        await phase(progress, "drain.pages", async (facts) => {
          const { ms, faults, faultMs, worstFaultMs, inheritedPages, hugePages } = await (session?.arrival?.filled(signal) ??
            awaitFilled(host, ref.migrationId, signal));
          Object.assign(facts, {
            fillMs: ms.toFixed(1),
            faults: String(faults),
            faultMs: faultMs.toFixed(1),
            worstFaultMs: worstFaultMs.toFixed(3),
            inheritedPages: String(inheritedPages),
            hugePages: String(hugePages),
          });
        });
        sessions.close(ref);
        await dropImages(host, ref.migrationId);
        return;
      }
      if (pagesPid === undefined) return;
      await phase(progress, "drain.pages", () => awaitFetched(host, ref.migrationId, pagesPid, signal));
      sessions.close(ref);
      await dropImages(host, ref.migrationId);
    },

    async abort(ref, progress, signal) {
      const known = await readMigration(host, ref.migrationId);
      if (known?.stage === "resumed") throw fault("MIGRATION_PAST_COMMIT", `${ref.workload} runs on this node`);
      const record = await readRecord(host, ref.workload);
      const isOurs = record?.migrationId === ref.migrationId;
      if (isOurs && record.phase === "running") throw fault("MIGRATION_PAST_COMMIT", `${ref.workload} runs on this node`);
      await phase(progress, "abort.target", async () => {
        sessions.close(ref);
        await endOrphanedCriu(host, ref.migrationId); // who fetches pages may be of an earlier life of ours
        watch.drop(ref.workload);
        if (known !== undefined) await endHold(host, ref.workload, known);
        if (known?.memoryPid !== undefined) for (const one of await arrivalPids(host, ref.migrationId)) signalPid(one, "SIGKILL");
        if (isOurs) {
          await destroy(host, ref.workload, record.spec.address, signal);
          await faultpoint("abort.half");
          await forgetRecord(host, ref.workload);
          await removeWorkloadDir(host, ref.workload);
        } else if (known?.spec !== undefined && record === undefined) await removeNetwork(host, ref.workload, known.spec.address);
        await dropImages(host, ref.migrationId);
        await writeMigration(host, { ...refOf(ref, "target"), stage: "aborted", mode: known?.mode ?? "stop-and-copy" });
      });
    },
  };
}

/**
 * What arrives here for the workload is held from now on. A hold that has ended since it was opened (somebody has killed it) is replaced by the first that works
 * now: nothing has been led here yet, so nobody notices.
 */
async function beginHold(host: Host, ref: MigrationRef, session: TargetSession, address: string): Promise<void> {
  const begin = async () => {
    await session.hold?.begin();
    await leadToHold(host, session.hold?.route ?? `blackhole ${address}/32`);
  };
  try {
    await begin();
  } catch (caught) {
    host.options.log.warn({ err: Fault.from(caught), workload: ref.workload }, "hold.opened_anew");
    session.hold?.quit();
    session.hold = await openHold(host, ref.workload, address, AbortSignal.timeout(openAgainMs));
    const known = await readMigration(host, ref.migrationId);
    if (known !== undefined) await writeMigration(host, { ...known, ...heldBy(session) });
    await begin();
  }
}
