// The freeze. Promise: when it throws, the workload runs again and nothing that was made ready for it is left; when it returns, the workload is frozen until
// thaw or release, and nothing of its kernel state can reach the network.
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "@aether/contract";
import { countCollections, faultpoint, type StandBy, sleep } from "@aether/kit";
import { readyDump } from "../checkpoint/criu.ts";
import { armGuard } from "../checkpoint/guard.ts";
import { readyLazyDump } from "../checkpoint/lazy-dump.ts";
import type { FreezeResult, MigrationMode, MigrationRef, Peer, Progress } from "../engine.ts";
import { touchMappedFiles } from "../files/mapped.ts";
import { sendTree, travellingTrees } from "../files/sync.ts";
import type { Host } from "../host.ts";
import { factsOfProc, type KernelWatch } from "../kernel/facts.ts";
import type { Link } from "../link/link.ts";
import { catchUp } from "../memory/catch-up.ts";
import type { DirtyRate } from "../memory/dirty-rate.ts";
import { type Abilities, stopAndCopyMaxBytes } from "../memory/mode.ts";
import { startPageServer } from "../memory/page-server.ts";
import type { Tracker } from "../memory/tracker.ts";
import { tcpTable } from "../network/tcp-table.ts";
import { cutArriving, cutLeaving, readyRoutes, renewNetwork, tcpCounters } from "../network/workload-network.ts";
import { makeEvidence } from "../receipt/evidence.ts";
import { descriptorsOf, observe } from "../receipt/observe.ts";
import { sequencesInImages } from "../receipt/sequences.ts";
import { signStatement, statementFacts } from "../receipt/sign.ts";
import { type WorkloadRecord, writeRecord } from "../record.ts";
import { freeze, pidsOf } from "../runtime/cgroup.ts";
import { residentBytes } from "../runtime/process.ts";
import { outputTail } from "../runtime/shim.ts";
import { type Announced, compareClocks, createImageSender, type ImageSender, outputTailName } from "./images.ts";
import { imagesDir, keepNoted, type MigrationRecord, noteMigration, phase, readMigration, refOf, writeMigration } from "./journal.ts";
import { requireRunning, runAgain } from "./run-again.ts";
import type { SourceSession, SourceSessions } from "./source-session.ts";
import { createUndo, type Undo } from "./undo.ts";

/** What a freeze is about. */
interface Freeze {
  readonly host: Host;
  readonly link: Link;
  readonly session: SourceSession;
  readonly record: WorkloadRecord;
  readonly ref: MigrationRef;
  readonly peer: Peer;
  readonly mode: Exclude<MigrationMode, "auto">;
  readonly images: string;
  /** Taken away when it is over, whichever way; the last first. */
  readonly standing: Undo;
  /** Taken back when it throws; the last first. */
  readonly undo: Undo;
}

export async function freezeWorkload(
  host: Host,
  link: Link,
  sessions: SourceSessions,
  watch: KernelWatch,
  dirty: DirtyRate,
  abilities: Abilities,
  ref: MigrationRef,
  peer: Peer,
  mode: Exclude<MigrationMode, "auto">,
  progress: Progress,
  signal: AbortSignal,
): Promise<FreezeResult> {
  const before = await readMigration(host, ref.migrationId);
  if (before?.stage === "frozen" && before.result !== undefined) return before.result as FreezeResult;
  const record = await requireRunning(host, ref);
  const session = sessions.open(ref, peer.nodeId);
  await dirty.hush(ref.workload);
  const images = imagesDir(host, ref.migrationId);
  const [standing, undo] = [createUndo(), createUndo()];
  const about: Freeze = { host, link, session, record, ref, peer, mode, images, standing, undo };
  undo.add(ref, sessions.end);
  undo.add(ref, () => runAgain(host, ref, progress));
  try {
    const { sender, clocks, tracker, coming, dump, arriving, leaving } = await makeReady(about, abilities, signal);
    const trees = travellingTrees(host, record.spec);
    const pid = record.pid ?? 0;
    const guard = undo.add(await armGuard(host, ref.migrationId, record, images, dump.pid ?? 0), (one) => one.end());
    const journal: MigrationRecord = { ...refOf(ref, "source"), stage: "freezing", mode, guardPid: guard.pid };
    await writeMigration(host, journal);
    const clock = await clocks();
    await watch.arm(ref.workload);
    const counters = await tcpCounters(pid);
    await writeRecord(host, { ...record, phase: "frozen", migrationId: ref.migrationId });
    await lastPasses(about, sender, tracker, progress, signal);
    const { end: collected } = standing.add(countCollections(), (counting) => counting.end());
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
    guard.dumping();
    const dumping = phase(progress, "freeze.dump", () => dump.go(signal));
    dumping.catch(() => undefined); // heard below, after what goes on beside it
    undo.add(dumping, (one) => one.catch(() => undefined)); // a criu that still works must not meet the thaw
    // Beside criu: what the kernel shows of the frozen processes, and the way of the pages.
    const observed = await observe(host, ref.workload, descriptors);
    await writeFile(join(images, outputTailName), await outputTail(host, ref.workload));
    if (!coming.isLazy) await sender.follow(dumping);
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
      await guard.disarm(); // from here on it may be committed elsewhere, so that nothing but a thaw may let it run
      await faultpoint("freeze.after_disarm");
      noteMigration(host, { ...journal, stage: "frozen", result });
      keepNoted(host, ref.migrationId);
      facts.collectedMs = collected().toFixed(1);
      return result;
    });
  } catch (caught) {
    const problem = Fault.from(caught);
    await undo.run();
    throw problem;
  } finally {
    await standing.run();
  }
}

interface ReadyFreeze {
  readonly sender: ImageSender;
  /** Compares the two hosts' clocks. */
  clocks(): ReturnType<typeof compareClocks>;
  /** Undefined where memory travels with the dump, or after the resume. */
  readonly tracker: Tracker | undefined;
  readonly coming: Announced;
  readonly dump: { readonly pid: number | undefined; go(signal: AbortSignal): Promise<unknown> };
  readonly arriving: StandBy;
  readonly leaving: StandBy;
}

/** All that can be there before the workload stops: the way to the target, criu, who serves its pages, and whoever changes the routes. */
async function makeReady(about: Freeze, abilities: Abilities, signal: AbortSignal): Promise<ReadyFreeze> {
  const { host, link, session, record, ref, peer, mode, images, standing, undo } = about;
  await rm(images, { recursive: true, force: true });
  await mkdir(images, { recursive: true, mode: 0o700 });
  const { socket, reader } = await link.connect(peer, { migrationId: ref.migrationId, channel: "images" }, signal);
  standing.add(socket, () => socket.destroy());
  const sender = createImageSender(socket, reader, images);
  const tracker = await session.ahead?.ready(signal);
  await faultpoint("freeze.after_last_pass");
  // Memory that could not be copied ahead travels as if nobody had tried: the target hears which way.
  const isLate = mode === "pre-copy" && tracker === undefined;
  const isLazy = mode === "post-copy" || (isLate && abilities.lazyPages && (await residentBytesOf(host, ref)) > stopAndCopyMaxBytes);
  const coming: Announced = {
    stdout: record.stdio?.stdout ?? 0,
    stderr: record.stdio?.stderr ?? 0,
    isLazy,
    isPreCopied: tracker !== undefined,
    hasSequences: true,
  };
  await sender.announce(coming);
  const dump = isLazy ? await readyLazy() : undo.add(await readyDump(host, record, images, tracker?.held), (ready) => ready.drop());
  await renewNetwork(host, ref.workload, record.spec.address);
  const routes = () => standing.add(readyRoutes(host), (each) => each.drop());
  const [arriving, leaving] = [routes(), routes()];
  await faultpoint("freeze.ready");
  return { sender, clocks: () => compareClocks(socket, reader), tracker, coming, dump, arriving, leaving };

  async function readyLazy(): Promise<ReadyFreeze["dump"]> {
    const ready = undo.add(await readyLazyDump(host, record, images), (one) => one.drop());
    session.pages = startPageServer(host, link, ready, peer.nodeId);
    return {
      pid: ready.pid,
      async go(until) {
        session.lazy = await ready.go(until);
      },
    };
  }
}

/** What was written while all was made ready; a tracker that ends here is heard when it is asked for the rest. Both hosts collect the garbage that this has made. */
async function lastPasses(
  { host, session }: Freeze,
  sender: ImageSender,
  tracker: Tracker | undefined,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const settle = async () => {
    const theirs = sender.settle(signal);
    host.options.settle?.();
    await theirs;
  };
  if (tracker === undefined) return settle();
  const arrived = (pass: number, patienceMs: number) => sender.arrived(pass, patienceMs, signal);
  const { dueMs = Number.POSITIVE_INFINITY, report } = session.ahead ?? {};
  const stayedBytes = (report?.end === "no-gain" ? report.rounds.at(-1)?.sentBytes : undefined) ?? Number.POSITIVE_INFINITY;
  await catchUp(tracker, arrived, settle, dueMs, stayedBytes, progress, signal);
}

const residentBytesOf = async (host: Host, ref: MigrationRef) => residentBytes(await pidsOf(host, ref.workload));

/** Where each page of a frozen workload went. */
function pagesOf(sealed: Awaited<ReturnType<Tracker["sealed"]>> | undefined, manifest: FreezeResult["manifest"]) {
  const { keptPages = 0, lastPages = 0, sharedPages = 0 } = sealed ?? {};
  return { keptPages, lastPages, sharedPages, imagePages: manifest.pageCount - keptPages };
}

/** Connections that wait to be accepted cannot be dumped: the cut lets no new one in, so the workload is given a moment to take them. */
async function acceptAll(pid: number): Promise<void> {
  for (let i = 0; i < 15 && (await tcpTable(pid)).waitingToBeAccepted > 0; i++) await sleep(2);
}
