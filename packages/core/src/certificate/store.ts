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
import { timestampDate, timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Kysely } from "kysely";
import { z } from "zod";
import { fromColumn, toColumn } from "../db/proto.ts";
import type { Database, NewRow, Row } from "../db/schema.ts";
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

export interface NewCertificate {
  readonly certificate: Certificate;
  readonly made: Certified;
  readonly before: Row<"certificates"> | undefined;
}

/** The rows of `certificates`, a line of history for each that says something else than before, and an event for each other verdict. */
export async function saveCertificates(tx: Kysely<Database>, events: Events, all: readonly NewCertificate[]): Promise<void> {
  if (all.length === 0) return;
  const other = all.flatMap((each) => {
    const last = each.before === undefined ? undefined : fromColumn(CertificateSchema, each.before.body);
    return last === undefined || saysOther(last, each.certificate) ? [{ ...each, last }] : [];
  });
  await tx
    .insertInto("certificates")
    .values(all.map(rowOf))
    .onConflict((conflict) =>
      conflict.column("workload").doUpdateSet((eb) => ({
        verdict: eb.ref("excluded.verdict"),
        since: eb.ref("excluded.since"),
        computed_at: eb.ref("excluded.computed_at"),
        body: eb.ref("excluded.body"),
        predicted: eb.ref("excluded.predicted"),
      })),
    )
    .execute();
  if (other.length === 0) return;
  await tx
    .insertInto("certificate_changes")
    .values(
      other.map(({ certificate, made }) => ({
        workload: certificate.workload,
        at: computedAt(certificate),
        verdict: made.verdict,
        summary: made.summary,
        node_id: certificate.nodeId,
        target_node_id: certificate.targetNodeId,
        freeze_ms: made.freeze.expected,
        time_to_safe_ms: made.timeToSafe.expected,
        codes: JSON.stringify(codesOf(certificate)),
      })),
    )
    .execute();
  await events.append(
    tx,
    ...other
      .filter(({ last, certificate }) => last?.verdict !== certificate.verdict)
      .map(({ certificate, made }) => ({
        type: `certificate.${made.verdict}`,
        subject: `workload/${certificate.workload}`,
        message: made.summary,
        data: { workload: certificate.workload, verdict: made.verdict, codes: codesOf(certificate) },
      })),
  );
}

const computedAt = (certificate: Certificate): Date =>
  certificate.computedAt === undefined ? new Date(0) : timestampDate(certificate.computedAt);

function rowOf({ certificate, made, before }: NewCertificate): NewRow<"certificates"> {
  const at = computedAt(certificate);
  const predicted = {
    freezeMs: made.freeze.expected,
    // Its move alone: planners give it its turn themselves, and it is compared with what moves measure.
    timeToSafeMs: made.ownTimeToSafeMs,
    rawFreezeMs: made.raw.freezeMs,
    rawTimeToSafeMs: made.raw.timeToSafeMs,
    transferMs: made.transferMs,
  };
  return {
    workload: certificate.workload,
    verdict: made.verdict,
    since: before === undefined || before.verdict !== made.verdict ? at : before.since,
    computed_at: at,
    body: toColumn(CertificateSchema, certificate),
    predicted: JSON.stringify(predicted),
  };
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
