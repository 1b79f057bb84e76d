// The host that the workload comes to. Promise: until `resume`, no instruction of it has run here and no packet has left; `abort` takes all away again.
import { type ChildProcess, spawn } from "node:child_process";
import { access, copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Fault, fault } from "@aether/contract";
import { faultpoint, killGroup, run, type StandBy, until, withDeadline } from "@aether/kit";
import { z } from "zod";
import { behindPrivateRun, type Ready, readyRestore } from "../checkpoint/criu.ts";
import type { Manifest, MigrationRef, Peer, RestoreResult, ResumeResult, TargetSide } from "../engine.ts";
import { answerSharedVolumes } from "../files/shared.ts";
import { receiveTree, type Tree, travellingTrees } from "../files/sync.ts";
import { createTreeHasher, type TreeDigest, type TreeHasher } from "../files/tree-digest.ts";
import { attributeReader } from "../files/xattrs.ts";
import { type Host, migrationDir, workloadDir } from "../host.ts";
import type { ImagePin } from "../image/images.ts";
import { receiveImage } from "../image/travel.ts";
import { factsOfProc, type KernelWatch } from "../kernel/facts.ts";
import type { Link } from "../link/link.ts";
import { type Arrival, arrivalPids, awaitFilled, openArrival } from "../memory/arrival.ts";
import { openPageTunnel, type PageTunnel } from "../memory/page-tunnel.ts";
import { endHold, type Hold, openHold } from "../network/hold.ts";
import { releaseLeftQueue } from "../network/hold-queue.ts";
import { announce, leadHere, leadToHold, makeNetwork, readyRoutes, removeNetwork, tcpCounters } from "../network/workload-network.ts";
import { type EvidenceLeaves, makeEvidence } from "../receipt/evidence.ts";
import { observe } from "../receipt/observe.ts";
import { readySequences, sequencesInKernel } from "../receipt/sequences.ts";
import { signStatement, statementFacts } from "../receipt/sign.ts";
import { forgetRecord, readRecord, requireRecord, writeRecord } from "../record.ts";
import { makeCgroups, pidsOf, signalPid } from "../runtime/cgroup.ts";
import { statOf } from "../runtime/process.ts";
import { mountRootfs, prepareRootfs, rootfsPaths } from "../runtime/rootfs.ts";
import { destroy, plain } from "../runtime/runtime.ts";
import { type Launched, shimFiles } from "../runtime/shim.ts";
import { outputTailName, type ReceivedImages, receiveImages, type SourceFacts } from "./images.ts";
import { dropImages, imagesDir, type MigrationRecord, phase, readMigration, refOf, writeMigration } from "./journal.ts";

/** What is known of a move only while this process lives. After a restart a prepared move is aborted; a restored one can still be resumed. */
interface Session {
  /** The source's files are final, and what it said of itself. */
  readonly facts: Promise<SourceFacts>;
  readonly images: Promise<ReceivedImages>;
  readonly hasher: TreeHasher;
  hold?: Hold | undefined;
  /** Started ahead of the resume, so that only a write is left to do. */
  routes?: StandBy;
  /** Asks the kernel where the restored connections stand. */
  sequences?: StandBy;
  /** Pre-copy: what keeps the memory, and puts it in place. */
  arrival?: Arrival;
  lazy?: { daemon: ChildProcess; tunnel: PageTunnel; ended: Promise<number> };
  /** Of what was restored; lost with this process, and then the receipt has the roots alone. */
  leaves?: EvidenceLeaves;
  shut(): void;
}

const freezeDeadlineMs = 120_000;
const imagesDeadlineMs = 120_000;
/** Long enough to see whether the new node is too busy; watching costs a look at each change of tasks. */
const watchAfterResumeMs = 10_000;

export function createTargetSide(host: Host, link: Link, watch: KernelWatch): TargetSide {
  const sessions = new Map<string, Session>();

  function open(ref: MigrationRef, spec: MigrationRecord["spec"] & object, sourceNodeId: string): Session {
    const facts = Promise.withResolvers<SourceFacts>();
    const images = Promise.withResolvers<ReceivedImages>();
    const fail = (cause: unknown) => {
      facts.reject(cause);
      images.reject(cause);
    };
    // Looked at by restore; a failure before it must not end the process.
    facts.promise.catch(() => undefined);
    images.promise.catch(() => undefined);
    const trees = travellingTrees(host, spec);
    const imageTree: Tree[] = [];
    const gone = new AbortController();
    const shut = link.admit(ref.migrationId, sourceNodeId, async ({ socket, reader, header }) => {
      if (header.channel === "files") {
        await receiveTree(host, ref.migrationId, [...trees, ...imageTree], header, socket, reader);
        await settleFiles(session, trees).catch(() => undefined); // warms; a tree that is not there yet is no matter here
        return;
      }
      if (header.channel === "image") {
        const door = {
          open(tree: Tree) {
            imageTree.push(tree);
            return () => imageTree.splice(0);
          },
          async keep(image: ImagePin) {
            const known = await readMigration(host, ref.migrationId);
            if (known !== undefined) await writeMigration(host, { ...known, image });
          },
        };
        return receiveImage(host, spec, socket, reader, door, gone.signal);
      }
      if (header.channel === "shared") return answerSharedVolumes(host, spec.volumes, socket, reader);
      if (header.channel === "memory" && session.arrival !== undefined) return session.arrival.take(reader);
      if (header.channel !== "images") throw fault("TRANSFER_FAILED", `the target has no channel ${header.channel}`);
      try {
        images.resolve(await receiveImages(socket, reader, imagesDir(host, ref.migrationId), facts.resolve));
      } catch (caught) {
        fail(caught);
        throw caught;
      }
    });
    const session: Session = {
      facts: facts.promise,
      images: images.promise,
      hasher: createTreeHasher(attributeReader(host.options.tools.native)),
      shut() {
        shut();
        gone.abort(fault("CANCELLED", "the migration was aborted"));
        fail(fault("CANCELLED", "the migration was aborted"));
      },
    };
    sessions.set(ref.migrationId, session);
    return session;
  }

  function close(ref: MigrationRef): void {
    const session = sessions.get(ref.migrationId);
    session?.shut();
    session?.hold?.quit();
    session?.routes?.drop();
    session?.sequences?.drop();
    session?.arrival?.kill();
    if (session?.lazy !== undefined) {
      killGroup(session.lazy.daemon);
      session.lazy.tunnel.close();
    }
    sessions.delete(ref.migrationId);
  }

  const side: TargetSide = {
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
      close(ref);
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
        const session = open(ref, plain(spec), sourceNodeId);
        session.hold = await openHold(host, ref.workload, spec.address, signal);
        const holdMethod = session.hold?.method ?? "none";
        await leadToHold(host, session.hold?.route ?? `blackhole ${spec.address}/32`);
        await behindPrivateRun(host);
        if (mode === "pre-copy") {
          const images = imagesDir(host, ref.migrationId);
          await mkdir(images, { recursive: true, mode: 0o700 });
          session.arrival = await openArrival(host, ref.migrationId, images, signal);
        }
        const memoryPid = session.arrival === undefined ? {} : { memoryPid: session.arrival.pid };
        await writeMigration(host, { ...record, stage: "prepared", holdPid: session.hold?.pid, holdMethod, ...memoryPid });
        facts.hold = holdMethod;
        return { linkAddress: link.address, linkPort: link.port, holdMethod };
      });
    },

    async restore(ref, _mode, progress, signal) {
      const known = await readMigration(host, ref.migrationId);
      if (known?.stage === "restored" && known.result !== undefined) return known.result as RestoreResult;
      const session = sessions.get(ref.migrationId);
      if (session === undefined || known?.spec === undefined)
        throw fault("STEP_INTERRUPTED", `${ref.migrationId} is not prepared on this node`);
      const { spec } = known;
      const imagesHere = imagesDir(host, ref.migrationId);
      const facts = await phase(progress, "restore.wait", () =>
        withDeadline("the source to freeze", freezeDeadlineMs, () => session.facts, signal),
      );
      session.hold?.extend?.();
      let ready: Ready<Launched> | undefined;
      try {
        // While the source's criu writes, everything that does not need its images.
        const images = phase(progress, "restore.images", () =>
          withDeadline("the images to arrive", imagesDeadlineMs, () => session.images, signal),
        );
        images.catch(() => undefined); // heard below
        if (!facts.isPreCopied) {
          session.arrival?.kill(); // the source could not: all memory comes with the images, or is fetched
          delete session.arrival;
          await rm(join(imagesHere, "lazy-pages.socket"), { force: true }); // criu's own daemon makes it anew
        }
        const { arrival } = session;
        if (facts.isPreCopied && arrival === undefined)
          throw fault("STEP_INTERRUPTED", "the memory that was copied ahead is not on this node any more");
        const { memoryPid: _, ...others } = known;
        const kept = arrival === undefined ? others : known;
        const sealing = arrival && phase(progress, "restore.memory", () => arrival.sealed(signal));
        sealing?.catch(() => undefined); // heard below, with the images
        const restoring: MigrationRecord = {
          ...kept,
          stage: "restoring",
          cutAtMs: facts.cutAtMs,
          clockErrorMs: facts.clockErrorMs,
          stoppedAtMs: facts.stoppedAtMs,
        };
        await writeMigration(host, restoring);
        const files = await phase(progress, "restore.files", async () => {
          const digest = await settleFiles(session, travellingTrees(host, spec), signal);
          await mountRootfs(host, spec, known.image);
          await watch.arm(ref.workload);
          return digest;
        });
        const criu = await readyRestore(host, spec, imagesHere, {
          isLazy: facts.isLazy || facts.isPreCopied,
          stdio: facts,
          isLeftStopped: true,
        });
        ready = criu;
        session.routes = readyRoutes(host);
        if (facts.hasSequences) session.sequences = await readySequences(host, ref.workload);
        await faultpoint("restore.ready");
        const { entries, areEqual } = await images;
        const sealed = await sealing;
        if (!areEqual) throw fault("VERIFY_MISMATCH", "an image arrived with another digest than it left with");
        await faultpoint("restore.before");
        const launched = await phase(progress, "restore.criu", async () => {
          const source = { nodeId: known.sourceNodeId ?? "", address: facts.linkAddress, port: facts.linkPort };
          if (facts.isLazy) session.lazy = await startLazyPages(host, link, ref, source, signal);
          // The shim has the log open already and appends, so this stays its beginning.
          const [done] = await Promise.all([
            criu.go(signal),
            copyFile(join(imagesHere, outputTailName), shimFiles(host, ref.workload).log),
            arrival?.restored(signal),
          ]);
          return done;
        });
        const ticks = (await statOf(launched.pid))?.startTicks;
        await writeRecord(host, {
          spec,
          epoch: ref.epoch + 1,
          phase: "restored",
          migrationId: ref.migrationId,
          pid: launched.pid,
          ...(known.image === undefined ? {} : { image: known.image }),
          ...(ticks === undefined ? {} : { pidStartTicks: ticks }),
          shimPid: launched.shimPid,
          stdio: { stdout: launched.stdoutInode, stderr: launched.stderrInode },
        });
        await faultpoint("restore.after");
        const result: RestoreResult = await phase(progress, "restore.verify", async () => {
          const [observed, sequences] = await Promise.all([
            observe(host, ref.workload),
            session.sequences && sequencesInKernel(session.sequences, signal),
          ]);
          const { manifest, leaves } = makeEvidence(entries, files, observed, sealed?.spaces, sequences);
          session.leaves = leaves;
          return { manifest, areImagesEqual: areEqual };
        });
        await writeMigration(host, { ...restoring, stage: "restored", result });
        return result;
      } catch (caught) {
        ready?.drop();
        throw caught;
      }
    },

    async resume(ref, progress, signal) {
      const known = await readMigration(host, ref.migrationId);
      if (known?.stage === "resumed" && known.result !== undefined) return known.result as ResumeResult;
      const record = await requireRecord(host, ref.workload);
      if (known === undefined || record.migrationId !== ref.migrationId || (record.phase !== "restored" && record.phase !== "running"))
        throw fault("STEP_INTERRUPTED", `${ref.workload} was not restored here by ${ref.migrationId}`);
      const session = sessions.get(ref.migrationId);
      const pid = record.pid ?? 0;
      const counters = await tcpCounters(pid);
      await writeRecord(host, { ...record, phase: "running" });
      await faultpoint("resume.before_continue");
      const resumedAtMs = await phase(progress, "resume.continue", async () => {
        await continueAll(host, ref.workload);
        return performance.timeOrigin + performance.now();
      });
      await faultpoint("resume.after_continue");
      const held = await phase(progress, "resume.network", async () => {
        await leadHere(host, ref.workload, record.spec.address, session?.routes);
        if (session?.hold !== undefined) return session.hold.release().catch(() => undefined);
        const released = known.holdMethod === "queue" ? await releaseLeftQueue(host, ref.workload) : undefined;
        await endHold(host, ref.workload, known);
        return released;
      });
      // Best effort, and nobody waits for it: neighbours that miss it learn the way with their next question.
      announce(host, record.spec.address).catch((caught: unknown) => host.options.log.warn({ err: caught }, "network.announce"));
      const after = await tcpCounters(pid);
      const kernel =
        (await watch.facts(ref.workload)) ?? factsOfProc(counters, after, performance.timeOrigin + performance.now() - resumedAtMs);
      const { ranAtMs } = kernel;
      const stoppedAtMs = known.stoppedAtMs ?? null;
      // A resume that was begun before and not finished has no counters from its beginning.
      const isFirst = record.phase === "restored";
      const measured = {
        packetsHeld: held?.held ?? null,
        packetsReplayed: held?.replayed ?? null,
        packetsDropped: held?.dropped ?? null,
        resetsSent: isFirst ? after.resetsSent - counters.resetsSent : null,
        segmentsRetransmitted: isFirst ? after.segmentsRetransmitted - counters.segmentsRetransmitted : null,
        holdMethod: session?.hold?.method ?? known.holdMethod ?? "none",
        freezeMs: known.cutAtMs === undefined || !isFirst ? null : thousandths(resumedAtMs - known.cutAtMs),
        clockErrorMs: known.clockErrorMs === undefined ? null : thousandths(known.clockErrorMs),
        blackoutMs: ranAtMs === null || stoppedAtMs === null ? null : thousandths(ranAtMs - stoppedAtMs),
      } satisfies Partial<ResumeResult>;
      const restored = restoredResult.safeParse(known.result);
      const result: ResumeResult = {
        resumedAtMs,
        ...measured,
        kernel,
        ...(restored.success ? { statement: signed(host, ref, known, restored.data.manifest, measured) } : {}),
        ...(session?.leaves === undefined ? {} : { leaves: shownLeaves(session.leaves) }),
      };
      watch.drop(ref.workload, watchAfterResumeMs);
      const { migrationId: _, ...rest } = record;
      await writeRecord(host, { ...rest, phase: "running", epoch: ref.epoch + 1 });
      await writeMigration(host, { ...known, stage: "resumed", result });
      session?.hold?.quit();
      if (session?.lazy === undefined && session?.arrival === undefined) {
        close(ref);
        await dropImages(host, ref.migrationId);
      }
      signal.throwIfAborted();
      return result;
    },

    async drainPages(ref, progress, signal) {
      const session = sessions.get(ref.migrationId);
      const lazy = session?.lazy;
      const memoryPid = (await readMigration(host, ref.migrationId))?.memoryPid;
      if (memoryPid !== undefined) {
        await phase(progress, "drain.pages", async (facts) => {
          const { ms, faults, worstFaultMs } = await (session?.arrival?.filled(signal) ?? awaitFilled(host, ref.migrationId, signal));
          Object.assign(facts, { fillMs: ms.toFixed(1), faults: String(faults), worstFaultMs: worstFaultMs.toFixed(3) });
        });
        close(ref);
        await dropImages(host, ref.migrationId);
        return;
      }
      if (lazy === undefined) return;
      await phase(progress, "drain.pages", async () => {
        const code = await withDeadline("every page to arrive", 600_000, () => lazy.ended, signal);
        if (code !== 0) throw fault("TRANSFER_FAILED", `pages are missing: criu lazy-pages ended with code ${code}`);
      });
      close(ref);
      await dropImages(host, ref.migrationId);
    },

    async abort(ref, progress, signal) {
      const known = await readMigration(host, ref.migrationId);
      if (known?.stage === "resumed") throw fault("MIGRATION_PAST_COMMIT", `${ref.workload} runs on this node`);
      const record = await readRecord(host, ref.workload);
      const isOurs = record?.migrationId === ref.migrationId;
      if (isOurs && record.phase === "running") throw fault("MIGRATION_PAST_COMMIT", `${ref.workload} runs on this node`);
      await phase(progress, "abort.target", async () => {
        close(ref);
        watch.drop(ref.workload);
        if (known !== undefined) await endHold(host, ref.workload, known);
        if (known?.memoryPid !== undefined) for (const one of await arrivalPids(host, ref.migrationId)) signalPid(one, "SIGKILL");
        if (isOurs) {
          await destroy(host, ref.workload, record.spec.address, signal);
          await faultpoint("abort.half");
          await forgetRecord(host, ref.workload);
          await rm(workloadDir(host, ref.workload), { recursive: true, force: true });
        } else if (known?.spec !== undefined && record === undefined) await removeNetwork(host, ref.workload, known.spec.address);
        await dropImages(host, ref.migrationId);
        await writeMigration(host, { ...refOf(ref, "target"), stage: "aborted", mode: known?.mode ?? "stop-and-copy" });
      });
    },
  };
  return side;
}

function signed(
  host: Host,
  ref: MigrationRef,
  known: MigrationRecord,
  manifest: Manifest,
  measured: Omit<ResumeResult, "resumedAtMs" | "kernel" | "statement" | "leaves">,
) {
  const identity = host.options.identity.current();
  const about = { side: "target" as const, peer: known.sourceNodeId ?? "", mode: known.mode, manifest };
  return signStatement(identity, { ...statementFacts(identity, ref, about, measured), ...measured, side: "target" });
}

/** Whole microseconds: the same number wherever it is written. */
const thousandths = (ms: number): number => Math.round(ms * 1000) / 1000;

/** What a restored migration's record must hold for the resume to be signed. */
const restoredResult = z.object({
  manifest: z.custom<Manifest>((value) => typeof value === "object" && value !== null && "root" in value),
});

/** Leaves of a section that a receipt carries; above this its root speaks for them. */
const maxShownLeaves = 1000;

const shownLeaves = (leaves: EvidenceLeaves): NonNullable<ResumeResult["leaves"]> =>
  Object.entries(leaves).map(([section, each]) => ({
    section,
    leaves: each.length > maxShownLeaves ? [] : each,
    isLeftOut: each.length > maxShownLeaves,
  }));

/** What has arrived is hashed and on the disk. Paid for once a file: also after each copy, so that the freeze has little of it. */
async function settleFiles({ hasher }: Session, trees: readonly Tree[], signal?: AbortSignal): Promise<TreeDigest> {
  const digest = await hasher.digest(trees);
  if (digest.count > trees.length) for (const { path } of trees) await run("sync", ["-f", path], { deadlineMs: 60_000, signal });
  return digest;
}

/** SIGCONT to every process, until the kernel shows none stopped: a stop that was still on its way would otherwise win. */
async function continueAll(host: Host, workload: string): Promise<void> {
  await until("every process to continue", 2, 10_000, async () => {
    const pids = await pidsOf(host, workload);
    for (const pid of pids) signalPid(pid, "SIGCONT");
    const states = await Promise.all(pids.map(async (pid) => (await statOf(pid))?.state));
    return states.every((state) => state !== "T") ? true : undefined;
  });
}

async function startLazyPages(host: Host, link: Link, ref: MigrationRef, peer: Peer, signal: AbortSignal) {
  const tunnel = await openPageTunnel(link, peer, ref.migrationId, AbortSignal.timeout(900_000));
  const images = imagesDir(host, ref.migrationId);
  await mkdir(migrationDir(host, ref.migrationId), { recursive: true });
  const [file, ...before] = await behindPrivateRun(host);
  const args = [
    ...before,
    "lazy-pages",
    "-D",
    images,
    "-v2",
    "-o",
    "lazy-pages.log",
    "--page-server",
    "--address",
    "127.0.0.1",
    "--port",
    String(tunnel.port),
  ];
  const daemon = spawn(file, args, { stdio: "ignore", detached: true });
  const ended = new Promise<number>((resolve) => {
    daemon.once("error", () => resolve(127));
    daemon.once("exit", (code) => resolve(code ?? 137));
  });
  try {
    await until(
      "the lazy-pages daemon to listen",
      2,
      10_000,
      () =>
        access(join(images, "lazy-pages.socket")).then(
          () => true,
          () => undefined,
        ),
      signal,
    );
  } catch (caught) {
    killGroup(daemon);
    tunnel.close();
    throw Fault.from(caught);
  }
  daemon.unref();
  return { daemon, tunnel, ended };
}
