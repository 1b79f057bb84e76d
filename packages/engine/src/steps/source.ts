// The host that the workload leaves. Promise: when `freeze` throws, the workload runs again; when it returns, it is frozen until thaw or release,
// and nothing of its kernel state can reach the network.
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault, fault } from "@aether/contract";
import { type Collections, countCollections, faultpoint, run, sleep } from "@aether/kit";
import { readyDump } from "../checkpoint/criu.ts";
import { armGuard, endGuard, type Guard } from "../checkpoint/guard.ts";
import { type LazyDump, readyLazyDump } from "../checkpoint/lazy-dump.ts";
import { endOrphanedCriu, mendSockets, removeDumpMounts } from "../checkpoint/leftovers.ts";
import type { FreezeResult, MigrationRef, Peer, Progress, SourceSide } from "../engine.ts";
import { touchMappedFiles } from "../files/mapped.ts";
import { compareSharedVolumes, type SharedVolume, sharedVolumes } from "../files/shared.ts";
import { sendTree, travellingTrees } from "../files/sync.ts";
import { createTreeHasher, type TreeHasher } from "../files/tree-digest.ts";
import { attributeReader } from "../files/xattrs.ts";
import type { Host } from "../host.ts";
import { sendImage } from "../image/travel.ts";
import { factsOfProc, type KernelWatch } from "../kernel/facts.ts";
import type { Link } from "../link/link.ts";
import { type Ahead, copyAhead, type LinkRates } from "../memory/ahead.ts";
import { catchUp } from "../memory/catch-up.ts";
import type { DirtyRate } from "../memory/dirty-rate.ts";
import { type Abilities, type KnownRates, stopAndCopyMaxBytes } from "../memory/mode.ts";
import { type PageServer, startPageServer } from "../memory/page-server.ts";
import type { Tracker } from "../memory/tracker.ts";
import { tcpTable } from "../network/tcp-table.ts";
import { cutArriving, cutLeaving, leadHere, readyRoutes, renewNetwork, tcpCounters } from "../network/workload-network.ts";
import { preflight } from "../preflight/preflight.ts";
import { makeEvidence } from "../receipt/evidence.ts";
import { descriptorsOf, observe } from "../receipt/observe.ts";
import { sequencesInImages } from "../receipt/sequences.ts";
import { signStatement, statementFacts } from "../receipt/sign.ts";
import { forgetRecord, readRecord, removeWorkloadDir, requireRecord, type WorkloadRecord, writeRecord } from "../record.ts";
import { freeze, pidsOf, thaw } from "../runtime/cgroup.ts";
import { isAlive, residentBytes } from "../runtime/process.ts";
import { destroy } from "../runtime/runtime.ts";
import { outputTail } from "../runtime/shim.ts";
import { type Announced, compareClocks, createImageSender, outputTailName } from "./images.ts";
import {
  dropImages,
  imagesDir,
  keepNoted,
  listMigrations,
  type MigrationRecord,
  noteMigration,
  phase,
  readMigration,
  refOf,
  writeMigration,
} from "./journal.ts";

/** What is known of a move only while this process lives; a restart does without. */
interface Session {
  readonly hasher: TreeHasher;
  /** State of the trees before the last copy began: equal at the freeze means that nothing has to be sent. */
  stamp?: string;
  lazy?: LazyDump;
  /** Post-copy: who carries its pages. */
  pages?: PageServer;
  ahead?: Ahead;
  shut(): void;
}

export function createSourceSide(host: Host, link: Link, watch: KernelWatch, dirty: DirtyRate, abilities: () => Abilities): SourceSide {
  /** Bytes a second to a node, as the last move found it. */
  const rates = new Map<string, LinkRates>();
  /** What the last preflight of a workload was told. */
  const told = new Map<string, KnownRates>();
  const sessions = new Map<string, Session>();

  function sessionOf(ref: MigrationRef, peerNode: string): Session {
    const existing = sessions.get(ref.migrationId);
    if (existing !== undefined) return existing;
    const shut = link.admit(ref.migrationId, peerNode, async ({ socket, reader, header }) => {
      const { pages } = sessions.get(ref.migrationId) ?? {};
      if (header.channel === "connection" && pages !== undefined) return pages.invite({ socket });
      if (header.channel !== "pages" || pages === undefined) throw fault("TRANSFER_FAILED", "the source serves pages only");
      await pages.carry({ socket, reader });
    });
    const session: Session = { hasher: createTreeHasher(attributeReader(host.options.tools.native)), shut };
    sessions.set(ref.migrationId, session);
    return session;
  }

  function endSession(ref: MigrationRef): void {
    watch.drop(ref.workload);
    dirty.speak(ref.workload);
    const session = sessions.get(ref.migrationId);
    session?.lazy?.kill();
    session?.pages?.kill();
    session?.ahead?.close();
    session?.shut();
    sessions.delete(ref.migrationId);
  }

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

  const side: SourceSide = {
    preflight(workload, requested, target, known, signal) {
      told.set(workload, known);
      return preflight(host, workload, { requested, target, here: abilities(), known }, signal);
    },

    async copy(ref, peer, mode, limits, progress, signal) {
      const record = await requireRunning(host, ref);
      await writeMigration(host, { ...refOf(ref, "source"), stage: "copying", mode });
      const session = sessionOf(ref, peer.nodeId);
      await dirty.hush(ref.workload);
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
          progress,
          signal,
        );
        facts.end = `${done.report.end ?? ""}: ${done.report.endDetail ?? ""}`;
        return done;
      });
      session.ahead = ahead;
      return { ...files, memory: ahead.report };
    },

    async freeze(ref, peer, mode, progress, signal) {
      const before = await readMigration(host, ref.migrationId);
      if (before?.stage === "frozen" && before.result !== undefined) return before.result as FreezeResult;
      const record = await requireRunning(host, ref);
      const session = sessionOf(ref, peer.nodeId);
      await dirty.hush(ref.workload);
      const images = imagesDir(host, ref.migrationId);
      const trees = travellingTrees(host, record.spec);
      const pid = record.pid ?? 0;
      await rm(images, { recursive: true, force: true });
      await mkdir(images, { recursive: true, mode: 0o700 });
      // All that can be there before the workload stops: the way to the target, criu, and whoever changes the routes.
      const channel = await link.connect(peer, { migrationId: ref.migrationId, channel: "images" }, signal);
      const sender = createImageSender(channel.socket, channel.reader, images);
      const tracker = await session.ahead?.ready(signal).catch((caught: unknown) => {
        channel.socket.destroy();
        throw caught;
      });
      await faultpoint("freeze.after_last_pass");
      // Memory that could not be copied ahead travels as if nobody had tried: the target hears which way.
      const isLate = mode === "pre-copy" && tracker === undefined;
      const isLazy = mode === "post-copy" || (isLate && abilities().lazyPages && (await residentBytesOf(host, ref)) > stopAndCopyMaxBytes);
      const coming: Announced = {
        stdout: record.stdio?.stdout ?? 0,
        stderr: record.stdio?.stderr ?? 0,
        isLazy,
        isPreCopied: tracker !== undefined,
        hasSequences: true,
      };
      await sender.announce(coming);
      const [lazyDump, wholeDump] = isLazy
        ? [await readyLazyDump(host, record, images), undefined]
        : [undefined, await readyDump(host, record, images, tracker?.held)];
      if (lazyDump !== undefined) session.pages = startPageServer(host, link, lazyDump, peer.nodeId);
      await renewNetwork(host, ref.workload, record.spec.address);
      const [arriving, leaving] = [readyRoutes(host), readyRoutes(host)];
      let dumping: Promise<void> | undefined;
      let guard: Guard | undefined;
      let collections: Collections | undefined;
      try {
        const guarding = await armGuard(host, ref.migrationId, record, (lazyDump ?? wholeDump)?.pid ?? 0);
        guard = guarding;
        const journal: MigrationRecord = { ...refOf(ref, "source"), stage: "freezing", mode, guardPid: guard.pid };
        await writeMigration(host, journal);
        const clock = await compareClocks(channel.socket, channel.reader);
        await watch.arm(ref.workload);
        const counters = await tcpCounters(pid);
        await writeRecord(host, { ...record, phase: "frozen", migrationId: ref.migrationId });
        // After all that is made ready has made its garbage.
        const settle = async () => {
          const theirs = sender.settle(signal);
          host.options.settle?.();
          await theirs;
        };
        const arrived = (pass: number, patienceMs: number) => sender.arrived(pass, patienceMs, signal);
        const { dueMs = Number.POSITIVE_INFINITY, report } = session.ahead ?? {};
        const stayedBytes = (report?.end === "no-gain" ? report.rounds.at(-1)?.sentBytes : undefined) ?? Number.POSITIVE_INFINITY;
        // What was written while all this was made ready; a tracker that ends here is heard right below.
        if (tracker !== undefined) await catchUp(tracker, arrived, settle, dueMs, stayedBytes, progress, signal);
        else await settle();
        collections = countCollections();
        const { end: collected } = collections;
        const cutAtMs = performance.timeOrigin + performance.now();
        await phase(progress, "freeze.network_cut", () => cutArriving(host, record.spec.address, peer.address, arriving));
        await faultpoint("freeze.after_cut");
        await phase(progress, "freeze.stop", async () => {
          await acceptAll(pid);
          await freeze(host, ref.workload);
          await cutLeaving(host, ref.workload, leaving);
        });
        await faultpoint("freeze.after_freeze");
        const stopped = watch.facts(ref.workload);
        const kept = tracker && phase(progress, "freeze.memory", tracker.frozen);
        kept?.catch(() => undefined); // heard below, after the files
        const descriptors = await descriptorsOf(host, ref.workload); // before criu opens its own
        const files = await phase(progress, "freeze.files", async (facts) => {
          facts.mapped = String(await touchMappedFiles(host, ref.workload));
          const isUnchanged = session.stamp !== undefined && session.stamp === (await session.hasher.stamp(trees));
          facts.sent = String(!isUnchanged);
          if (!isUnchanged) for (const tree of trees) await sendTree(host, link, peer, ref.migrationId, tree, true, signal);
          return session.hasher.digest(trees);
        });
        const stoppedAtMs = (await stopped)?.stoppedAtMs ?? null;
        await sender.begin({
          ...coming,
          cutAtMs: cutAtMs + clock.offsetMs,
          stoppedAtMs: stoppedAtMs === null ? null : stoppedAtMs + clock.offsetMs,
          clockErrorMs: clock.errorMs,
          linkAddress: link.address,
          linkPort: link.port,
        });
        await kept;
        const sealing = tracker?.sealed();
        sealing?.catch(() => undefined); // heard below, after the dump
        dumping = phase(progress, "freeze.dump", async () => {
          if (lazyDump !== undefined) session.lazy = await lazyDump.go(signal);
          else await wholeDump?.go(signal);
        });
        dumping.catch(() => undefined); // heard below, after what goes on beside it
        // Beside criu: what the kernel shows of the frozen processes, and the way of the pages.
        const observed = await observe(host, ref.workload, descriptors);
        await writeFile(join(images, outputTailName), await outputTail(host, ref.workload));
        if (wholeDump !== undefined) await sender.follow(dumping);
        await dumping;
        guard.dumped();
        await faultpoint("freeze.after_dump");
        const finishing = phase(progress, "transfer.images", () => sender.finish());
        finishing.catch(() => undefined); // heard below
        const sequences = sequencesInImages(images); // while the last images travel
        const after = await tcpCounters(pid);
        const sent = await finishing;
        return await phase(progress, "freeze.report", async (facts) => {
          const sealed = await sealing;
          const { manifest } = makeEvidence(sent.entries, files, observed, sealed?.spaces, sent.hasSequences ? sequences : undefined);
          const memory = session.ahead && { ...session.ahead.report, ...pagesOf(sealed, manifest) };
          const counted = {
            resetsSent: after.resetsSent - counters.resetsSent,
            segmentsRetransmitted: after.segmentsRetransmitted - counters.segmentsRetransmitted,
          };
          const kernel =
            (await watch.facts(ref.workload)) ?? factsOfProc(counters, after, performance.timeOrigin + performance.now() - cutAtMs);
          const identity = host.options.identity.current();
          const said = statementFacts(identity, ref, { side: "source", peer: peer.nodeId, mode, manifest }, counted);
          const result: FreezeResult = {
            manifest,
            ...(memory === undefined ? {} : { memory }),
            frozenAtMs: cutAtMs,
            ...counted,
            kernel,
            statement: signStatement(identity, said),
          };
          await faultpoint("freeze.before_disarm");
          await guarding.disarm(); // from here on it may be committed elsewhere, so that nothing but a thaw may let it run
          await faultpoint("freeze.after_disarm");
          noteMigration(host, { ...journal, stage: "frozen", result });
          keepNoted(host, ref.migrationId);
          facts.collectedMs = collected().toFixed(1);
          return result;
        });
      } catch (caught) {
        const problem = Fault.from(caught);
        wholeDump?.drop();
        lazyDump?.drop();
        await dumping?.catch(() => undefined); // a criu that still works must not meet the thaw
        await guard?.end();
        await runAgain(host, ref, progress);
        endSession(ref);
        throw problem;
      } finally {
        collections?.end();
        arriving.drop();
        leaving.drop();
        channel.socket.destroy();
      }
    },

    async thaw(ref, progress, _signal, newEpoch) {
      await faultpoint("thaw.before");
      endSession(ref);
      await runAgain(host, ref, progress, newEpoch);
      await writeMigration(host, { ...refOf(ref, "source"), stage: "thawed", mode: "stop-and-copy" });
      await dropImages(host, ref.migrationId);
    },

    async release(ref, progress, signal) {
      const record = await readRecord(host, ref.workload);
      if (record === undefined || record.migrationId !== ref.migrationId) return endSession(ref); // done before
      if (record.phase !== "frozen")
        throw fault("WORKLOAD_RUNNING", `${ref.workload} is ${record.phase}, not frozen by ${ref.migrationId}`);
      await faultpoint("release.before");
      await phase(progress, "release.source", async () => {
        // First the tasks, then a criu that may still hold them: never the other way round.
        await destroy(host, ref.workload, record.spec.address, signal);
        endSession(ref);
        await endOrphanedCriu(host, ref.migrationId); // a page server of an earlier life of ours
        await forgetRecord(host, ref.workload);
        await removeWorkloadDir(host, ref.workload);
        await writeMigration(host, { ...refOf(ref, "source"), stage: "released", mode: "stop-and-copy" });
        await dropImages(host, ref.migrationId);
      });
    },
  };
  return side;
}

/**
 * After a restart: a freeze that had not ended was told to nobody, so its workload runs again without being asked for (the guard has done most
 * of it already). One that had ended stays as it is: it may have been committed elsewhere.
 */
export async function recoverSources(host: Host): Promise<void> {
  for (const migration of await listMigrations(host)) {
    if (migration.side !== "source" || migration.stage !== "freezing") continue;
    try {
      if (migration.guardPid !== undefined) await endGuard(migration.guardPid);
      await runAgain(host, migration, { phase: () => undefined, bytes: () => undefined });
      await writeMigration(host, { ...migration, stage: "thawed" });
    } catch (caught) {
      host.options.log.error({ err: caught, workload: migration.workload }, "source.recover"); // a thaw will be asked for
    }
  }
}

async function requireRunning(host: Host, ref: MigrationRef): Promise<WorkloadRecord> {
  const record = await requireRecord(host, ref.workload);
  if (record.epoch !== ref.epoch) throw fault("STALE_EPOCH", `${ref.workload} is in epoch ${record.epoch}, not ${ref.epoch}`);
  if (record.phase !== "running") throw fault("WORKLOAD_NOT_RUNNING", `${ref.workload} is ${record.phase}`);
  return record;
}

const residentBytesOf = async (host: Host, ref: MigrationRef) => residentBytes(await pidsOf(host, ref.workload));

/** The workload runs again with its network. Safe when it was never frozen; where a person has decided for this copy, it must be there. */
async function runAgain(host: Host, ref: MigrationRef, progress: Parameters<SourceSide["thaw"]>[1], newEpoch?: number): Promise<void> {
  const record = newEpoch === undefined ? await readRecord(host, ref.workload) : await requireRecord(host, ref.workload);
  if (newEpoch !== undefined && record?.phase === "running") return writeRecord(host, { ...record, epoch: newEpoch });
  if (newEpoch !== undefined && record?.phase !== "frozen")
    throw fault("WORKLOAD_NOT_RUNNING", `${ref.workload} is ${record?.phase} here, not frozen`);
  if (record === undefined || record.phase !== "frozen" || record.migrationId !== ref.migrationId) return;
  await phase(progress, "thaw.source", async () => {
    await endOrphanedCriu(host, ref.migrationId);
    if (await isAlive(record)) {
      await removeDumpMounts(host, record);
      await mendSockets(host, record);
      await leadHere(host, ref.workload, record.spec.address); // before the thaw: its first packet must find a way
      await thaw(host, ref.workload);
    } // else it died in the freeze (the machine was started anew): who looks at running workloads will see it
    const { migrationId: _, ...rest } = record;
    await writeRecord(host, { ...rest, phase: "running", epoch: newEpoch ?? record.epoch });
  });
}

/** Where each page of a frozen workload went. */
function pagesOf(sealed: Awaited<ReturnType<Tracker["sealed"]>> | undefined, manifest: FreezeResult["manifest"]) {
  const { keptPages = 0, lastPages = 0, sharedPages = 0 } = sealed ?? {};
  return { keptPages, lastPages, sharedPages, imagePages: manifest.pageCount - keptPages };
}

/** Connections that wait to be accepted cannot be dumped: the cut lets no new one in, so the workload is given a moment to take them. */
async function acceptAll(pid: number): Promise<void> {
  for (let i = 0; i < 15 && (await tcpTable(pid)).waitingToBeAccepted > 0; i++) await sleep(2);
}
