// One thing in full: a workload, a node, a migration with its receipt, a drill with its verdict.
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { type Drill, DrillKind, DrillState } from "@aether/contract/gen/aether/v2/drill_pb";
import type { KernelFacts } from "@aether/contract/gen/aether/v2/kernel_pb";
import {
  type Migration,
  MigrationMode,
  MigrationState,
  type PreflightReport,
  type Receipt,
} from "@aether/contract/gen/aether/v2/migration_pb";
import { type Node, NodeState } from "@aether/contract/gen/aether/v2/node_pb";
import { VolumeMode, type Workload, WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { describeClasses, describeCopy, describeForecast, describePredicted } from "./memory.ts";
import { renderFacts } from "./table.ts";
import { bytes, duration, instant, toDate, word } from "./units.ts";

export function describeWorkload(workload: Workload, preflight: PreflightReport | undefined, preflightError: string): string {
  const { spec, usage } = workload;
  const facts = renderFacts([
    ["name", spec?.name],
    ["state", word(WorkloadState, workload.state)],
    ["reason", workload.reason],
    ["health", word(HealthState, workload.health)],
    ["node", workload.nodeId],
    ["epoch", String(workload.epoch)],
    ["migration", workload.migrationId],
    ["address", spec?.address],
    ["command", spec?.argv.join(" ")],
    ["rootfs", spec?.rootfs],
    ["directory", spec?.workingDirectory],
    ["environment", Object.keys(spec?.env ?? {}).join(" ")],
    ["volumes", spec?.volumes.map((v) => `${v.source}:${v.destination}:${word(VolumeMode, v.mode)}`).join(" ")],
    ["memory limit", spec && spec.memoryLimitBytes > 0n ? bytes(spec.memoryLimitBytes) : ""],
    ["memory", usage?.measuredAt && bytes(usage.memoryBytes)],
    ["process limit", spec && spec.pidsLimit > 0 ? String(spec.pidsLimit) : ""],
    ["processes", usage?.measuredAt && String(usage.processCount)],
    ["connections", usage?.measuredAt && String(usage.tcpEstablished)],
    ["started", instant(workload.startedAt)],
  ]);
  if (preflightError !== "") {
    const kept = workload.preflight;
    if (kept?.report === undefined) return `${facts}\n\nWhether it can be moved is not known: ${preflightError}`;
    return `${facts}\n\nIts node does not answer (${preflightError}). As it was ${instant(kept.checkedAt)}:\n${describePreflight(kept.report)}`;
  }
  return preflight === undefined ? facts : `${facts}\n\n${describePreflight(preflight)}`;
}

export const describeFinding = (mark: string) => (found: { code: string; message: string; mend: string; subject: string }) =>
  `  ${mark} ${found.code}${found.subject ? ` (${found.subject})` : ""}: ${found.message}${found.mend ? `\n    mend: ${found.mend}` : ""}`;

export function describePreflight(report: PreflightReport): string {
  const verdict =
    report.blockers.length > 0
      ? "It cannot be moved as it is:"
      : `It can be moved: ${word(MigrationMode, report.chosenMode)}${report.modeReason ? ` (${report.modeReason})` : ""}${report.forecast ? `; ${describeForecast(report.forecast)}` : ""}`;
  const memory = report.forecast === undefined ? [] : describeClasses(report.forecast);
  const classes = memory.length === 0 ? [] : [`  memory: ${memory.join(", ")}`];
  return [verdict, ...classes, ...report.blockers.map(describeFinding("✗")), ...report.warnings.map(describeFinding("!"))].join("\n");
}

export function describeNode(node: Node): string {
  const { facts, usage } = node;
  const can = facts?.capabilities;
  const criu = can?.criu;
  const lines = renderFacts([
    ["node", node.id],
    ["state", word(NodeState, node.state)],
    ["connected", node.isConnected ? "yes" : "no"],
    ["cordoned", node.isCordoned ? "yes" : ""],
    ["interruption at", node.interruptionAt && instant(node.interruptionAt)],
    ["seen", instant(node.seenAt)],
    ["registered", instant(node.registeredAt)],
    ["workloads", node.workloads.join(" ")],
    ["link", facts && `${facts.linkAddress}:${facts.linkPort}`],
    [
      "cloud",
      facts?.cloud && [facts.cloud.instanceId, facts.cloud.instanceType, facts.cloud.zone, facts.cloud.lifecycle].filter(Boolean).join(" "),
    ],
    ["kernel", can && `${can.kernelVersion} ${can.arch}`],
    [
      "criu",
      criu &&
        (criu.available
          ? `${criu.version} (canary: dump ${duration(criu.canaryDumpMs)}, restore ${duration(criu.canaryRestoreMs)})`
          : `no: ${criu.reason}`),
    ],
    ["runc", can?.runcVersion],
    ["dirty tracking", can?.dirtyTracking],
    ["lazy pages", can && (can.lazyPages ? "yes" : "no")],
    ["packet hold", can?.packetHold],
    ["memory", facts && usage && `${bytes(usage.memoryAvailableBytes)} of ${bytes(facts.memoryBytes)} free`],
    ["agent", facts && usage && `${facts.agentVersion}, ${bytes(usage.agentResidentBytes)} resident`],
  ]);
  const missing = (can?.missing ?? []).map((each) => `  ✗ ${each.what}: ${each.why}\n    mend: ${each.mend}`);
  return missing.length === 0 ? lines : `${lines}\n\nMissing:\n${missing.join("\n")}`;
}

export function describeMigration(migration: Migration): string {
  const started = toDate(migration.createdAt)?.getTime();
  const ended = toDate(migration.endedAt)?.getTime();
  const lines = renderFacts([
    ["migration", migration.id],
    ["workload", migration.workload],
    ["from", migration.sourceNodeId],
    ["to", migration.targetNodeId],
    ["state", word(MigrationState, migration.state)],
    ["mode", word(MigrationMode, migration.mode || migration.requestedMode)],
    ["epoch", migration.epochAfter > 0n ? `${migration.epochBefore} -> ${migration.epochAfter}` : String(migration.epochBefore)],
    ["cause", migration.cause],
    ["took", started !== undefined && ended !== undefined ? duration(ended - started) : ""],
    ["error", migration.error && `${migration.error.code}: ${migration.error.message}`],
    ["hint", migration.error?.hint],
    ["trace", migration.traceId],
  ]);
  return migration.receipt === undefined ? lines : `${lines}\n\n${describeReceipt(migration.receipt)}`;
}

export function describeReceipt(receipt: Receipt): string {
  const net = receipt.network;
  const sent = receipt.leftSource;
  const lines = renderFacts([
    ["receipt of", receipt.migrationId],
    ["workload", receipt.workload],
    ["moved", `${receipt.sourceNodeId} -> ${receipt.targetNodeId}, epoch ${receipt.epochBefore} -> ${receipt.epochAfter}`],
    ["mode", word(MigrationMode, receipt.mode)],
    ["committed", instant(receipt.committedAt)],
    ["freeze", duration(receipt.freezeMs)],
    ["blackout", blackout(receipt.targetKernel)],
    ["total", duration(receipt.totalMs)],
    ["memory", sent && `${bytes(sent.memoryBytes)} in ${sent.pageCount} pages`],
    ["copied ahead", receipt.memory && describeCopy(receipt.memory)],
    ["foretold", receipt.predicted && describePredicted(receipt.predicted, receipt.freezeMs)],
    ["files", sent && `${sent.fileCount} (${bytes(sent.fileBytes)})`],
    ["connections", sent && String(sent.tcpConnections.length)],
    [
      "packets",
      net &&
        `${net.packetsHeld} held${net.holdMethod === "" ? "" : ` (${net.holdMethod})`}, ${net.packetsReplayed} replayed, ${net.packetsDropped} dropped`,
    ],
    ["resets sent", net && String(net.resetsSent)],
    ["resets received", count(receipt.sourceKernel?.resetsReceived, receipt.targetKernel?.resetsReceived)],
    ["sent again", net && `${net.segmentsRetransmitted} segments`],
    ["wait for a CPU", waits(receipt.targetKernel)],
    ["health after", word(HealthState, receipt.healthAfter)],
  ]);
  const comparisons = receipt.comparisons.map(
    (each) => `  ${each.isEqual ? "=" : "✗"} ${each.what}${each.isEqual ? "" : `: ${each.source} left, ${each.target} arrived`}`,
  );
  const verdict = receipt.isWhole ? "Nothing was lost: what arrived is what left." : "NOT WHOLE: what arrived is not what left.";
  const phases = receipt.phases.map(({ name, nodeId, durationMs }) => `  ${name} on ${nodeId}: ${duration(durationMs)}`);
  return [
    lines,
    ...(phases.length === 0 ? [] : ["", "Phases, in the order in which they began:", ...phases]),
    "",
    ...comparisons,
    verdict,
  ].join("\n");
}

/** What was not measured is said to be unknown, never shown as 0. */
function blackout(kernel: KernelFacts | undefined): string {
  if (kernel?.blackoutMs === undefined) return "unknown (this node's kernel could not be asked; `aether doctor` says why)";
  return `${duration(kernel.blackoutMs)} ± ${duration(kernel.blackoutErrorMs ?? 0)}, first stop to first run by both kernels`;
}

const count = (source: number | undefined, target: number | undefined): string =>
  source === undefined || target === undefined ? "unknown" : String(source + target);

function waits(kernel: KernelFacts | undefined): string {
  if (kernel?.runQueueP50Us === undefined || kernel.runQueueP99Us === undefined) return "";
  return `p50 up to ${kernel.runQueueP50Us} us, p99 up to ${kernel.runQueueP99Us} us after the resume`;
}

const figure = (ms: number): string => (ms > 0 ? duration(ms) : "-");

export function describeDrill(drill: Drill): string {
  const lines = renderFacts([
    ["drill", drill.id],
    ["kind", word(DrillKind, drill.kind)],
    ["node", drill.nodeId],
    ["pool", drill.pool],
    ["announced price", drill.priceUsdPerHour > 0 ? `${drill.priceUsdPerHour} USD an hour` : ""],
    ["schedule", drill.scheduleId],
    ["verdict", word(DrillState, drill.state)],
    ["started", instant(drill.startedAt)],
    ["ended", drill.endedAt && instant(drill.endedAt)],
    ["notice to decision", drill.noticeToDecisionMs > 0 ? duration(drill.noticeToDecisionMs) : ""],
    ["notice to safe", drill.noticeToSafeMs > 0 ? `${duration(drill.noticeToSafeMs)} of ${drill.windowSeconds} s` : ""],
    ["migrations", drill.migrationIds.join(" ")],
    ["decision", drill.decisionId],
  ]);
  const checks = drill.checks.map((check) => `  ${check.isPassed ? "✓" : "✗"} ${check.name}${check.detail ? `: ${check.detail}` : ""}`);
  const oracles = drill.oracles.map(
    (seen) =>
      `  client ${seen.name}: ${seen.requestCount} requests, ${seen.errorCount} errors, ${seen.wrongCount} wrong answers, ` +
      `p99 ${duration(seen.latencyP99Ms)}, longest gap ${duration(seen.longestGapMs)}`,
  );
  const foretold = drill.predictions
    .filter((each) => each.predictedFreezeMs > 0 || each.measuredFreezeMs > 0)
    .map(
      (each) =>
        `  ${each.workload}: freeze ${figure(each.predictedFreezeMs)} foretold, ${figure(each.measuredFreezeMs)} measured; ` +
        `safe after ${figure(each.predictedTimeToSafeMs)} foretold, ${figure(each.measuredTimeToSafeMs)} measured`,
    );
  return [
    lines,
    ...(checks.length > 0 ? ["", ...checks] : []),
    ...(foretold.length > 0 ? ["", ...foretold] : []),
    ...(oracles.length > 0 ? ["", ...oracles] : []),
  ].join("\n");
}
