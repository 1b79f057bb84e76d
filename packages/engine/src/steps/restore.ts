// Restores what a source sends, stopped. Everything that does not need the images stands before they come: most of it before the workload is even frozen.
import { copyFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { type Collections, countCollections, faultpoint, withDeadline } from "@aether/kit";
import type { MigrationRef, Progress, RestoreResult } from "../engine.ts";
import { travellingTrees } from "../files/sync.ts";
import type { Host } from "../host.ts";
import type { ImagePin } from "../image/images.ts";
import type { Link } from "../link/link.ts";
import { makeEvidence } from "../receipt/evidence.ts";
import { observe } from "../receipt/observe.ts";
import { readySequences, sequencesInKernel } from "../receipt/sequences.ts";
import { noteRecord } from "../record.ts";
import { statOf } from "../runtime/process.ts";
import { shimFiles } from "../runtime/shim.ts";
import { outputTailName } from "./images.ts";
import { imagesDir, type MigrationRecord, noteMigration, phase, readMigration, writeMigration } from "./journal.ts";
import { openPageFetch, type PageFetch } from "./page-fetch.ts";
import { heldBy, settleFiles, type TargetSession, type TargetSessions } from "./target-session.ts";

const freezeDeadlineMs = 120_000;
const imagesDeadlineMs = 120_000;

export async function restoreWorkload(
  host: Host,
  link: Link,
  sessions: TargetSessions,
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
  const { place } = session;
  let fetching: Promise<PageFetch> | undefined;
  let collections: Collections | undefined;
  try {
    const facts = await phase(progress, "restore.wait", () =>
      withDeadline("the source to freeze", freezeDeadlineMs, () => untilFrozen(session, known.image), signal),
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
    const { criu } = await place.stand(facts, known.image);
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
    place.leave();
  }
}

/** The source says first how it will come, and when it has frozen the rest. What stands between the two costs the freeze nothing. */
async function untilFrozen(session: TargetSession, image: ImagePin | undefined) {
  const isFrozen = session.facts.then(() => undefined);
  session.isStanding = true;
  const coming = await Promise.race([session.announced, isFrozen]);
  session.hold?.extend(); // once: where the kernel holds, its count begins anew with its deadline
  // A failure is tried again, and heard, when the facts are there.
  session.isStanding =
    coming !== undefined &&
    (await session.place.stand(coming, image).then(
      () => true,
      () => false,
    ));
  return session.facts;
}
