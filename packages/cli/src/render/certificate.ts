// A certificate for people.
import { type Certificate, type CertificateFinding, type Prediction, Verdict } from "@aether/contract/gen/aether/v2/certificate_pb";
import { ago, duration, word } from "./units.ts";

const range = (prediction: Prediction | undefined): string =>
  prediction === undefined ? "-" : `${duration(prediction.expected)} (${duration(prediction.low)} to ${duration(prediction.high)})`;

const finding = ({ code, message, mend, subject }: CertificateFinding): string =>
  `  ${code}${subject === "" ? "" : ` (${subject})`}: ${message}${mend === "" ? "" : `\n    -> ${mend}`}`;

export function describeCertificate(certificate: Certificate, nowMs: number): string {
  const { calibration } = certificate;
  const points = (calibration?.points ?? []).filter((point) => point.predictedFreezeMs > 0).slice(0, 5);
  const lines = [
    `${certificate.workload}: ${word(Verdict, certificate.verdict).toUpperCase()}`,
    certificate.summary,
    "",
    `freeze        ${range(certificate.freezeMs)}${certificate.objectiveFreezeMs > 0 ? `, objective ${duration(certificate.objectiveFreezeMs)}` : ""}`,
    `time to safe  ${range(certificate.timeToSafeMs)} of ${duration(certificate.windowMs)}${certificate.objectiveTimeToSafeMs > 0 ? `, objective ${duration(certificate.objectiveTimeToSafeMs)}` : ""}`,
    `target        ${certificate.targetNodeId === "" ? "none" : `${certificate.targetNodeId}: ${certificate.targetReason}`}`,
    `computed      ${ago(certificate.computedAt, nowMs)}; ${word(Verdict, certificate.verdict)} since ${ago(certificate.since, nowMs)}`,
  ];
  if (certificate.blockers.length > 0) lines.push("", "Blockers:", ...certificate.blockers.map(finding));
  if (certificate.warnings.length > 0) lines.push("", "Warnings:", ...certificate.warnings.map(finding));
  lines.push("", "Made of:");
  const width = Math.max(...certificate.inputs.map(({ name }) => name.length), 0);
  for (const { name, value, basis, detail } of certificate.inputs)
    lines.push(`  ${name.padEnd(width)}  ${value}${basis === "measured" ? "" : ` [${basis}]`}${detail === "" ? "" : `  ${detail}`}`);
  lines.push(
    "",
    calibration === undefined || calibration.moveCount === 0
      ? "No move has shown yet how good these numbers are."
      : `Calibrated by ${calibration.moveCount} moves; measured against foretold: freeze ${calibration.freezeRatioMedian.toFixed(2)} (up to ${calibration.freezeRatioP90.toFixed(2)}), time to safe ${calibration.timeToSafeRatioMedian.toFixed(2)} (up to ${calibration.timeToSafeRatioP90.toFixed(2)}).`,
    ...points.map(
      (point) =>
        `  ${point.migrationId}${point.drillId === "" ? "" : " (drill)"}: freeze ${duration(point.measuredFreezeMs)}, foretold ${duration(point.predictedFreezeMs)}; ` +
        `safe in ${duration(point.measuredTimeToSafeMs)}, foretold ${duration(point.predictedTimeToSafeMs)}`,
    ),
  );
  return lines.join("\n");
}
