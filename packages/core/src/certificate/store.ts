// Certificates as rows and as messages: the newest of each workload, and a line of history when one says something else than before.
import {
  type CalibrationPoint,
  type Certificate,
  type CertificateChange,
  CertificateChangeSchema,
  CertificateSchema,
  Verdict,
} from "@aether/contract/gen/aether/v2/certificate_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Kysely } from "kysely";
import { z } from "zod";
import { fromColumn, toColumn } from "../db/proto.ts";
import type { Database, Row } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import { modeToProto } from "../migration/mode.ts";
import type { CertificateFacts, Certified } from "./certify.ts";
import { type Measured, relevant } from "./measure.ts";

const verdicts = { green: Verdict.GREEN, amber: Verdict.AMBER, red: Verdict.RED } as const;

/** A prediction that moves by less than this share says the same as before. */
const sameWithin = 0.25;

export function toCertificate(
  facts: CertificateFacts,
  made: Certified,
  moves: readonly Measured[],
  sinceMs: number,
  nowMs: number,
): Certificate {
  const { freeze, timeToSafe } = facts.spread;
  return create(CertificateSchema, {
    workload: facts.workload,
    nodeId: facts.nodeId,
    verdict: verdicts[made.verdict],
    summary: made.summary,
    computedAt: timestampFromMs(nowMs),
    since: timestampFromMs(sinceMs),
    targetNodeId: made.targetNodeId,
    targetReason: made.targetReason,
    mode: modeToProto(facts.mode),
    freezeMs: made.freeze,
    timeToSafeMs: made.timeToSafe,
    windowMs: facts.windowMs,
    objectiveFreezeMs: facts.objective.freezeMs,
    objectiveTimeToSafeMs: facts.objective.timeToSafeMs,
    blockers: made.blockers.map((each) => ({ ...each })),
    warnings: made.warnings.map((each) => ({ ...each })),
    inputs: made.inputs.map((each) => ({ ...each })),
    calibration: {
      moveCount: timeToSafe.count,
      freezeRatioMedian: freeze.median,
      freezeRatioP90: freeze.high,
      timeToSafeRatioMedian: timeToSafe.median,
      timeToSafeRatioP90: timeToSafe.high,
      points: relevant(moves, facts.workload).map(toPoint),
    },
  });
}

function toPoint(move: Measured): Omit<CalibrationPoint, "$typeName" | "$unknown"> {
  return {
    migrationId: move.migrationId,
    drillId: move.drillId ?? "",
    at: timestampFromMs(move.atMs),
    predictedFreezeMs: move.predicted?.freezeMs ?? 0,
    measuredFreezeMs: move.freezeMs,
    predictedTimeToSafeMs: move.predicted?.timeToSafeMs ?? 0,
    measuredTimeToSafeMs: move.timeToSafeMs,
    sourceNodeId: move.sourceNodeId,
    targetNodeId: move.targetNodeId,
  };
}

/** The row of `certificates`, and whether it says something else than the one before. */
export async function saveCertificate(
  tx: Kysely<Database>,
  events: Events,
  before: Row<"certificates"> | undefined,
  certificate: Certificate,
  made: Certified,
): Promise<void> {
  const at = new Date(Number(certificate.computedAt?.seconds ?? 0n) * 1000 + (certificate.computedAt?.nanos ?? 0) / 1e6);
  const predicted = {
    freezeMs: made.freeze.expected,
    timeToSafeMs: made.timeToSafe.expected,
    rawFreezeMs: made.raw.freezeMs,
    rawTimeToSafeMs: made.raw.timeToSafeMs,
    transferMs: made.transferMs,
  };
  const since = before === undefined || before.verdict !== made.verdict ? at : before.since;
  const row = {
    verdict: made.verdict,
    since,
    computed_at: at,
    body: toColumn(CertificateSchema, certificate),
    predicted: JSON.stringify(predicted),
  };
  await tx
    .insertInto("certificates")
    .values({ workload: certificate.workload, ...row })
    .onConflict((conflict) => conflict.column("workload").doUpdateSet(row))
    .execute();
  const last = before === undefined ? undefined : fromColumn(CertificateSchema, before.body);
  if (last !== undefined && !saysOther(last, certificate)) return;
  await tx
    .insertInto("certificate_changes")
    .values({
      workload: certificate.workload,
      at,
      verdict: made.verdict,
      summary: made.summary,
      node_id: certificate.nodeId,
      target_node_id: certificate.targetNodeId,
      freeze_ms: made.freeze.expected,
      time_to_safe_ms: made.timeToSafe.expected,
      codes: JSON.stringify(codesOf(certificate)),
    })
    .execute();
  if (last?.verdict === certificate.verdict) return;
  await events.append(tx, {
    type: `certificate.${made.verdict}`,
    subject: `workload/${certificate.workload}`,
    message: made.summary,
    data: { workload: certificate.workload, verdict: made.verdict, codes: codesOf(certificate) },
  });
}

export const codesOf = (certificate: Certificate): string[] => [...certificate.blockers, ...certificate.warnings].map(({ code }) => code);

function saysOther(a: Certificate, b: Certificate): boolean {
  const moved = (x: number, y: number) => Math.abs(x - y) > sameWithin * Math.max(x, y, 100);
  return (
    a.verdict !== b.verdict ||
    a.nodeId !== b.nodeId ||
    a.targetNodeId !== b.targetNodeId ||
    codesOf(a).join() !== codesOf(b).join() ||
    moved(a.freezeMs?.expected ?? 0, b.freezeMs?.expected ?? 0) ||
    moved(a.timeToSafeMs?.expected ?? 0, b.timeToSafeMs?.expected ?? 0)
  );
}

export const toChange = (row: Row<"certificate_changes">): CertificateChange =>
  create(CertificateChangeSchema, {
    at: timestampFromDate(row.at),
    verdict: verdicts[row.verdict as keyof typeof verdicts] ?? Verdict.UNSPECIFIED,
    summary: row.summary,
    nodeId: row.node_id,
    targetNodeId: row.target_node_id,
    freezeMs: row.freeze_ms,
    timeToSafeMs: row.time_to_safe_ms,
    codes: z.array(z.string()).catch([]).parse(row.codes),
  });
