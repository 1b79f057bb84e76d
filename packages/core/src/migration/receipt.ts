// The receipt of a move: what both sides measured, and every comparison. Whole only when each comparison holds and the target has answered
// for the resume; nothing that is missing counts as equal.
import type { FreezeFacts, RestoreFacts, ResumeFacts } from "@aether/contract/gen/aether/v2/agent_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { type MigrationPhase, type Receipt, ReceiptSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { memoryOf } from "./memory.ts";
import { modeToProto } from "./mode.ts";
import type { CommandFact, MigrationRecord } from "./state.ts";
import { okResult } from "./steps/step.ts";
import { compareManifests, type Difference } from "./steps/verify.ts";

/** @param nowMs ends `total_ms` while the move has not resumed yet. Undefined before the commit: there is nothing to certify. */
export function assembleReceipt(
  record: MigrationRecord,
  commands: readonly CommandFact[],
  nowMs: number,
  phases: readonly MigrationPhase[] = [],
): Receipt | undefined {
  if (record.committedAtMs === undefined) return undefined;
  const left = okResult(commands, "freeze")?.facts;
  const reached = okResult(commands, "restore")?.facts;
  const resumed = okResult(commands, "resume")?.facts;
  const freeze = left?.case === "freeze" ? left.value : undefined;
  const restore = reached?.case === "restore" ? reached.value : undefined;
  const resume = resumed?.case === "resume" ? resumed.value : undefined;
  const memory = memoryOf(commands);
  const preflight = okResult(commands, "preflight")?.facts;
  const comparisons = [...compareManifests(freeze, restore), ...compareNetwork(freeze, resume)];
  return create(ReceiptSchema, {
    migrationId: record.id,
    workload: record.workload,
    sourceNodeId: record.sourceNodeId,
    targetNodeId: record.targetNodeId,
    epochBefore: BigInt(record.epochBefore),
    epochAfter: BigInt(record.epochBefore + 1),
    mode: modeToProto(record.mode),
    committedAt: timestampFromMs(record.committedAtMs),
    freezeMs: resume?.freezeMs ?? 0,
    statements: [freeze?.statement, resume?.statement].filter((statement) => statement !== undefined),
    leaves: resume?.leaves ?? [],
    unknown: resume?.unknown ?? [],
    phases: [...phases],
    totalMs: (record.resumedAtMs ?? record.endedAtMs ?? nowMs) - record.createdAtMs,
    ...sides(freeze, restore),
    ...(resume === undefined ? {} : { network: networkOf(freeze, resume) }),
    comparisons,
    ...(memory === undefined ? {} : { memory }),
    ...(preflight?.case === "preflight" && preflight.value.forecast ? { predicted: preflight.value.forecast } : {}),
    isWhole: resume !== undefined && comparisons.every((each) => each.isEqual),
    healthAfter: resume?.health || HealthState.UNKNOWN,
    ...(freeze?.kernel && { sourceKernel: freeze.kernel }),
    ...(resume?.kernel && { targetKernel: resume.kernel }),
  });
}

function sides(freeze: FreezeFacts | undefined, restore: RestoreFacts | undefined) {
  return {
    ...(freeze?.manifest === undefined ? {} : { leftSource: freeze.manifest }),
    ...(restore?.manifest === undefined ? {} : { reachedTarget: restore.manifest }),
  };
}

/** Both namespaces' counters together: a reset is a reset, whichever side sent it. */
function networkOf(freeze: FreezeFacts | undefined, resume: ResumeFacts) {
  const {
    packetsHeld = 0,
    packetsReplayed = 0,
    packetsDropped = 0,
    resetsSent = 0,
    segmentsRetransmitted = 0,
    holdMethod = "none",
  } = resume.network ?? {};
  return {
    packetsHeld,
    packetsReplayed,
    packetsDropped,
    resetsSent: resetsSent + (freeze?.resetsSent ?? 0),
    segmentsRetransmitted: segmentsRetransmitted + (freeze?.segmentsRetransmitted ?? 0),
    holdMethod,
  };
}

/** Held packets that were not replayed, and resets, are losses that a client may feel. What is not known is not equal to anything. */
function compareNetwork(freeze: FreezeFacts | undefined, resume: ResumeFacts | undefined): Difference[] {
  if (resume === undefined) return [];
  const network = networkOf(freeze, resume);
  const isKnown = (name: string) => !resume.unknown.includes(`network.${name}`);
  const areHeldKnown = isKnown("packets_held") && isKnown("packets_replayed");
  const areResetsKnown = isKnown("resets_sent");
  return [
    {
      what: "packets held and replayed",
      isEqual: areHeldKnown && network.packetsHeld === network.packetsReplayed,
      source: areHeldKnown ? `${network.packetsHeld} held` : "unknown",
      target: areHeldKnown ? `${network.packetsReplayed} replayed` : "unknown",
    },
    {
      what: "resets sent",
      isEqual: areResetsKnown && network.resetsSent === 0,
      source: "0 expected",
      target: areResetsKnown ? String(network.resetsSent) : "unknown",
    },
  ];
}
