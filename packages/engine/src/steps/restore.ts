// Restores what a source sends, stopped. Everything that does not need the images stands before they come: most of it before the workload is even frozen.
import { copyFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { type Collections, countCollections, faultpoint, sleep, withDeadline } from "@aether/kit";
import { type ReadyRestore, readyRestore } from "../checkpoint/criu.ts";
import type { MigrationRef, Progress, RestoreResult, WorkloadSpec } from "../engine.ts";
import { travellingTrees } from "../files/sync.ts";
import type { Host } from "../host.ts";
import type { ImagePin } from "../image/images.ts";
import type { KernelWatch } from "../kernel/facts.ts";
import type { Link } from "../link/link.ts";
import { inheritSocket } from "../memory/arrival.ts";
import { readyRoutes } from "../network/workload-network.ts";
import { makeEvidence } from "../receipt/evidence.ts";
import { observe } from "../receipt/observe.ts";
import { readySequences, sequencesInKernel } from "../receipt/sequences.ts";
import { noteRecord } from "../record.ts";
import { statOf } from "../runtime/process.ts";
import { mountRootfs, unmountRootfs } from "../runtime/rootfs.ts";
import { shimFiles } from "../runtime/shim.ts";
import { type Announced, outputTailName } from "./images.ts";
import { imagesDir, type MigrationRecord, noteMigration, phase, readMigration, writeMigration } from "./journal.ts";
import { openPageFetch, type PageFetch } from "./page-fetch.ts";
import { heldBy, settleFiles, type TargetSession, type TargetSessions } from "./target-session.ts";

const freezeDeadlineMs = 120_000;
const imagesDeadlineMs = 120_000;
/** What is mounted before a criu has mounts of its own is seen in those, which is no harm. */
const standingWithinMs = 500;

/** What waits for the images: the root is mounted, shim and criu are started. */
interface Standing {
  readonly criu: ReadyRestore;
  readonly for: Announced;
  /** It sees what is mounted when it goes: what stands on the files can be taken away without it. */
  readonly areMountsLate: boolean;
}

export async function restoreWorkload(
  host: Host,
  link: Link,
  sessions: TargetSessions,
  watch: KernelWatch,
  ref: MigrationRef,
  progress: Progress,
  signal: AbortSignal,
): Promise<RestoreResult> {
  const known = await readMigration(host, ref.migrationId);
  if (known?.stage === "restored" && known.result !== undefined) return known.result as RestoreResult;
  const session = sessions.get(ref);
  if (session === undefined || known?.spec === undefined)
    throw fault("STEP_INTERRUPTED", `${ref.migrationId} is not prepared on this node`);
  const { spec } = known;
  const imagesHere = imagesDir(host, ref.migrationId);
  const place = createPlace(host, session, watch, spec, known.image, imagesHere);
  session.giveWay = place.clear;
  let fetching: Promise<PageFetch> | undefined;
  let collections: Collections | undefined;
  try {
    const facts = await phase(progress, "restore.wait", () =>
      withDeadline("the source to freeze", freezeDeadlineMs, () => untilFrozen(session, place), signal),
    );
    collections = countCollections();
    const { end: collected } = collections;
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
    const source = { nodeId: known.sourceNodeId ?? "", address: facts.linkAddress, port: facts.linkPort };
    if (facts.isLazy) fetching = openPageFetch(host, link, ref, source, signal);
    fetching?.catch(() => undefined); // heard below
    const { arrival } = session;
    if (facts.isPreCopied && arrival === undefined)
      throw fault("STEP_INTERRUPTED", "the memory that was copied ahead is not on this node any more");
    const { memoryPid: _, ...others } = known;
    const kept = { ...(arrival === undefined ? others : known), ...heldBy(session) }; // it may have been replaced
    const sealing = arrival && phase(progress, "restore.memory", () => arrival.sealed(signal));
    sealing?.catch(() => undefined); // heard below, with the images
    const restoring: MigrationRecord = {
      ...kept,
      stage: "restoring",
      cutAtMs: facts.cutAtMs,
      clockErrorMs: facts.clockErrorMs,
      stoppedAtMs: facts.stoppedAtMs,
    };
    const intent = writeMigration(host, restoring);
    intent.catch(() => undefined); // heard below, before criu is let go
    const files = await phase(progress, "restore.files", () => settleFiles(session, travellingTrees(host, spec), signal));
    const { criu } = await place.stand(facts);
    if (facts.hasSequences) session.sequences ??= await readySequences(host, ref.workload);
    await faultpoint("restore.ready");
    const { entries, areEqual } = await images;
    const sealed = await sealing;
    if (!areEqual) throw fault("VERIFY_MISMATCH", "an image arrived with another digest than it left with");
    await intent;
    await faultpoint("restore.before");
    const launched = await phase(progress, "restore.criu", async (done) => {
      if (fetching !== undefined) session.lazy = await fetching;
      await session.lazy?.listen(signal);
      // The shim has the log open already and appends, so this stays its beginning.
      const handingOver = Promise.all([
        criu.go(signal),
        copyFile(join(imagesHere, outputTailName), shimFiles(host, ref.workload).log),
        arrival?.restored(signal),
        session.lazy?.begun(signal),
      ]);
      const [made, , memory] = await (session.lazy?.unlessLost(handingOver) ?? handingOver);
      if (memory !== undefined && memory.sharedPages > 0)
        Object.assign(done, { sharedPages: String(memory.sharedPages), sharedMs: memory.sharedMs.toFixed(1) });
      if (memory !== undefined) Object.assign(done, { inheritedPages: String(memory.inheritedPages), hugePages: String(memory.hugePages) });
      return made;
    });
    const ticks = (await statOf(launched.pid))?.startTicks;
    noteRecord(host, {
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
    const result: RestoreResult = await phase(progress, "restore.verify", async (checked) => {
      const [observed, sequences] = await Promise.all([
        observe(host, ref.workload),
        session.sequences && sequencesInKernel(session.sequences, signal),
      ]);
      const { manifest, leaves } = makeEvidence(entries, files, observed, sealed?.spaces, sequences);
      session.leaves = leaves;
      checked.collectedMs = collected().toFixed(1);
      return { manifest, areImagesEqual: areEqual };
    });
    await faultpoint("restore.after");
    const pagesPid = session.lazy === undefined ? {} : { pagesPid: session.lazy.pid() };
    noteMigration(host, { ...restoring, ...pagesPid, stage: "restored", result });
    return result;
  } catch (caught) {
    place.drop();
    fetching?.then(
      (opened) => opened.kill(),
      () => undefined,
    );
    throw caught;
  } finally {
    collections?.end();
    delete session.giveWay;
  }
}

/** The source says first how it will come, and when it has frozen the rest. What stands between the two costs the freeze nothing. */
async function untilFrozen(session: TargetSession, place: Place) {
  const isFrozen = session.facts.then(() => undefined);
  session.isStanding = true;
  const coming = await Promise.race([session.announced, isFrozen]);
  session.hold?.extend(); // once: where the kernel holds, its count begins anew with its deadline
  // A failure is tried again, and heard, when the facts are there.
  session.isStanding =
    coming !== undefined &&
    (await place.stand(coming).then(
      () => true,
      () => false,
    ));
  return session.facts;
}

interface Place {
  /** Stands there already, with the root on the files that are there now, or is made. */
  stand(coming: Announced): Promise<Standing>;
  /** Nothing stands on the files any more when this returns. */
  clear(): Promise<void>;
  /** Ends what waits, at once. */
  drop(): void;
}

function createPlace(
  host: Host,
  session: TargetSession,
  watch: KernelWatch,
  spec: WorkloadSpec,
  image: ImagePin | undefined,
  images: string,
): Place {
  let standing: Promise<Standing> | undefined;
  let criu: ReadyRestore | undefined;

  let isMounted = false;

  async function mount(): Promise<void> {
    if (!isMounted) await mountRootfs(host, spec, image);
    isMounted = true;
  }
  async function unmount(): Promise<void> {
    isMounted = false;
    await unmountRootfs(host, spec.name);
  }

  async function make(coming: Announced): Promise<Standing> {
    const arrival = coming.isPreCopied && host.criuInherits ? session.arrival : undefined;
    if (arrival === undefined) await mount();
    await watch.arm(spec.name);
    const ready = await readyRestore(host, spec, images, {
      isLazy: coming.isLazy || coming.isPreCopied,
      ...(arrival === undefined ? {} : { inheritFrom: inheritSocket }),
      stdio: coming,
      isLeftStopped: true,
    });
    criu = ready;
    session.routes ??= readyRoutes(host);
    if (coming.hasSequences) session.sequences ??= await readySequences(host, spec.name);
    if (arrival !== undefined) await Promise.race([arrival.standing(), sleep(standingWithinMs)]);
    await mount();
    return { criu: ready, for: coming, areMountsLate: arrival !== undefined };
  }

  async function end(): Promise<void> {
    const before = standing;
    standing = undefined;
    if (before === undefined) return;
    await before.catch(() => undefined);
    await criu?.end();
    criu = undefined;
    await unmount();
  }

  const place: Place = {
    async stand(coming) {
      const there = await standing?.catch(() => undefined);
      if (there !== undefined && isSame(there.for, coming)) {
        await mount();
        return there;
      }
      await end();
      standing = make(coming);
      return standing;
    },
    async clear() {
      const there = await standing?.catch(() => undefined);
      await (there?.areMountsLate ? unmount() : end());
    },
    drop: () => criu?.drop(),
  };
  return place;
}

const isSame = (a: Announced, b: Announced): boolean =>
  a.stdout === b.stdout && a.stderr === b.stderr && a.isLazy === b.isLazy && a.isPreCopied === b.isPreCopied;
