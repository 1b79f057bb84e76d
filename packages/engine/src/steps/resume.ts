// After the commit: the workload runs here, finds its packets, and what happened is signed.

import { fault } from "@aether/contract";
import { faultpoint, until } from "@aether/kit";
import { z } from "zod";
import type { Manifest, MigrationRef, Progress, ResumeResult } from "../engine.ts";
import type { Host } from "../host.ts";
import { factsOfProc, type KernelWatch } from "../kernel/facts.ts";
import { endHold } from "../network/hold.ts";
import { releaseLeftQueue } from "../network/hold-queue.ts";
import { announce, leadHere, tcpCounters } from "../network/workload-network.ts";
import type { EvidenceLeaves } from "../receipt/evidence.ts";
import { signStatement, statementFacts } from "../receipt/sign.ts";
import { noteRecord, requireRecord, writeRecord } from "../record.ts";
import { limitPids, pidsOf, signalPid } from "../runtime/cgroup.ts";
import { statOf } from "../runtime/process.ts";
import { dropImages, type MigrationRecord, phase, readMigration, writeMigration } from "./journal.ts";
import type { TargetSessions } from "./target-session.ts";

/** Long enough to see whether the new node is too busy; watching costs a look at each change of tasks. */
const watchAfterResumeMs = 10_000;

export async function resumeWorkload(
  host: Host,
  sessions: TargetSessions,
  watch: KernelWatch,
  ref: MigrationRef,
  progress: Progress,
  signal: AbortSignal,
): Promise<ResumeResult> {
  const known = await readMigration(host, ref.migrationId);
  if (known?.stage === "resumed" && known.result !== undefined) return known.result as ResumeResult;
  const record = await requireRecord(host, ref.workload);
  if (known === undefined || record.migrationId !== ref.migrationId || (record.phase !== "restored" && record.phase !== "running"))
    throw fault("STEP_INTERRUPTED", `${ref.workload} was not restored here by ${ref.migrationId}`);
  const session = sessions.get(ref);
  const pid = record.pid ?? 0;
  const counters = await tcpCounters(pid);
  const routes = session?.routes;
  if (session !== undefined) delete session.routes; // it can be told once: a repeat of this must not depend on what became of it
  // Its way out is there before it runs: an answer to what it had read already would be lost, and sent again only after a second. What arrives waits in its sockets.
  const leading = phase(progress, "resume.lead", () => leadHere(host, ref.workload, record.spec.address, routes));
  leading.catch(() => undefined); // heard below
  noteRecord(host, { ...record, phase: "running" });
  await leading;
  await limitPids(host, ref.workload, record.spec.pidsLimit);
  await faultpoint("resume.before_continue");
  const resumedAtMs = await phase(progress, "resume.continue", async () => {
    await continueAll(host, ref.workload);
    return performance.timeOrigin + performance.now();
  });
  await faultpoint("resume.after_continue");
  const held = await phase(progress, "resume.network", async () => {
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
  if (known.pagesPid === undefined && session?.arrival === undefined) {
    sessions.close(ref);
    await dropImages(host, ref.migrationId);
  }
  signal.throwIfAborted();
  return result;
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

/** SIGCONT to every process, until the kernel shows none stopped: a stop that was still on its way would otherwise win. */
async function continueAll(host: Host, workload: string): Promise<void> {
  await until("every process to continue", 2, 10_000, async () => {
    const pids = await pidsOf(host, workload);
    for (const pid of pids) signalPid(pid, "SIGCONT");
    const states = await Promise.all(pids.map(async (pid) => (await statOf(pid))?.state));
    return states.every((state) => state !== "T") ? true : undefined;
  });
}
