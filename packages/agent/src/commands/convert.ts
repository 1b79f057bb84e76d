// Between the words of the contract and those of the engine, both ways, and nowhere else. What comes in is parsed here once more: a name
// becomes a path and an argument on this host, whoever sent it.
import { type Fault, fault, type KnownNeeds, parseIpv4, parseNodeId, parseWorkloadName } from "@aether/contract";
import type {
  Command,
  FreezeFactsSchema,
  PreflightAction,
  Peer as ProtoPeer,
  ResumeFactsSchema,
  SnapshotFactsSchema,
} from "@aether/contract/gen/aether/v2/agent_pb";
import type { ErrorDetailSchema } from "@aether/contract/gen/aether/v2/common_pb";
import type { KernelFactsSchema } from "@aether/contract/gen/aether/v2/kernel_pb";
import { CopyEnd, type MemoryCopySchema, type MoveForecastSchema } from "@aether/contract/gen/aether/v2/memory_pb";
import {
  type ManifestSchema,
  type MigrationPhaseSchema,
  type PreflightReportSchema,
  MigrationMode as ProtoMode,
} from "@aether/contract/gen/aether/v2/migration_pb";
import type { NodeCapabilities } from "@aether/contract/gen/aether/v2/node_pb";
import type { WorkloadNeedsSchema } from "@aether/contract/gen/aether/v2/preflight_pb";
import type { SignedStatementSchema } from "@aether/contract/gen/aether/v2/receipt_pb";
import { type WorkloadSpec as ProtoSpec, VolumeMode } from "@aether/contract/gen/aether/v2/workload_pb";
import type {
  CopyReport,
  Forecast,
  FreezeResult,
  KernelFacts,
  KnownRates,
  Manifest,
  MigrationMode,
  MigrationRef,
  Peer,
  Phase,
  PreflightReport,
  ResumeResult,
  SignedStatement,
  SnapshotResult,
  TargetCapabilities,
  WorkloadSpec,
} from "@aether/engine";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";

/** Parses what a command asks to run. Throws INVALID_ARGUMENT, ROOTFS_INVALID or VOLUME_INVALID naming the field. */
export function specFromProto(spec: ProtoSpec | undefined): WorkloadSpec {
  if (spec === undefined) throw fault("INVALID_ARGUMENT", "the command has no spec", { field: "spec" });
  const isImages = spec.rootfs.startsWith("oci:") && spec.argv.length === 0;
  if (!isImages && (spec.argv[0] ?? "") === "") throw fault("INVALID_ARGUMENT", "argv must name a command", { field: "spec.argv" });
  const text = [...spec.argv, ...Object.entries(spec.env).flat(), spec.rootfs, spec.workingDirectory, spec.user];
  if (text.some((each) => each.includes("\0"))) throw fault("INVALID_ARGUMENT", "a text of the spec holds a NUL byte", { field: "spec" });
  if (spec.rootfs !== "host" && !isCleanPath(spec.rootfs.replace(/^oci:/, ""))) {
    throw fault("ROOTFS_INVALID", `${JSON.stringify(spec.rootfs.slice(0, 200))} is not host, an absolute directory or oci:DIR`, {
      field: "spec.rootfs",
    });
  }
  return {
    name: parseWorkloadName(spec.name, "spec.name"),
    rootfs: spec.rootfs,
    argv: spec.argv,
    env: spec.env,
    workingDirectory: spec.workingDirectory,
    address: parseIpv4(spec.address, "spec.address"),
    volumes: spec.volumes.map(({ source, destination, mode }, index) => {
      const field = `spec.volumes[${index}]`;
      if (!isCleanPath(source) || !isCleanPath(destination)) {
        throw fault("VOLUME_INVALID", `${source}:${destination}: both must be absolute paths without ., .. and control characters`, {
          field,
        });
      }
      if (mode === VolumeMode.SHARED) return { source, destination, mode: "shared" };
      if (mode === VolumeMode.SYNC) return { source, destination, mode: "sync" };
      throw fault("VOLUME_INVALID", `${source}:${destination}: the mode must be shared or sync`, { field });
    }),
    memoryLimitBytes: Number(spec.memoryLimitBytes),
    ...(spec.pidsLimit > 0 ? { pidsLimit: spec.pidsLimit } : {}),
    ...(spec.user === "" ? {} : { user: spec.user }),
  };
}

/** The epoch that a command acts in: a RESUME makes the next one. */
export const epochOf = ({ action, epoch }: Command): number => Number(action.case === "resume" ? action.value.newEpoch : epoch);

/** Parses which move a command belongs to. Its `epoch` is that of the placement that is left, also after the commit. */
export function refOf(command: Command): MigrationRef {
  if (!/^[a-z0-9][a-z0-9-]{0,63}$/.test(command.migrationId)) {
    throw fault("INVALID_ARGUMENT", "the command names no migration", { field: "migration_id" });
  }
  const isOfNextEpoch = command.action.case === "resume" || command.action.case === "drainPages";
  const epoch = epochOf(command) - (isOfNextEpoch ? 1 : 0);
  return { migrationId: command.migrationId, workload: workloadOf(command), epoch };
}

/** The workload that a command is about. Throws INVALID_ARGUMENT. */
export const workloadOf = (command: Command): string => parseWorkloadName(command.workload, "workload");

/** Throws INVALID_ARGUMENT. */
export function peerFromProto(peer: ProtoPeer | undefined): Peer {
  if (peer === undefined || peer.port < 1 || peer.port > 65_535) {
    throw fault("INVALID_ARGUMENT", "the command does not say where the target's link is", { field: "peer" });
  }
  return { nodeId: parseNodeId(peer.nodeId, "peer.node_id"), address: parseIpv4(peer.address, "peer.address"), port: peer.port };
}

const modes = {
  [ProtoMode.UNSPECIFIED]: "auto",
  [ProtoMode.AUTO]: "auto",
  [ProtoMode.PRE_COPY]: "pre-copy",
  [ProtoMode.POST_COPY]: "post-copy",
  [ProtoMode.STOP_AND_COPY]: "stop-and-copy",
} as const;

/** Throws INVALID_ARGUMENT for a mode that this agent does not know. */
export function modeFromProto(mode: ProtoMode): MigrationMode {
  const known: MigrationMode | undefined = modes[mode];
  if (known === undefined) throw fault("INVALID_ARGUMENT", `mode ${String(mode)} is not known to this agent`, { field: "mode" });
  return known;
}

/** A mode that must have been decided. Throws INVALID_ARGUMENT. */
export function chosenModeFromProto(mode: ProtoMode): Exclude<MigrationMode, "auto"> {
  const chosen = modeFromProto(mode);
  if (chosen === "auto") throw fault("INVALID_ARGUMENT", "the mode must be chosen before this step", { field: "mode" });
  return chosen;
}

const protoModes = {
  "pre-copy": ProtoMode.PRE_COPY,
  "post-copy": ProtoMode.POST_COPY,
  "stop-and-copy": ProtoMode.STOP_AND_COPY,
} as const;

/** What the source may count on. Asked without a target in mind, lazy pages are taken to work there as here. */
export function targetCapabilities(capabilities: NodeCapabilities | undefined, memoryAvailableBytes = 0n): TargetCapabilities {
  if (capabilities === undefined) return { lazyPages: true };
  const { lazyPages, cpuFeatures, xsaveComponents, arch, kernelVersion, cgroupVersion, pidLimit, timeNamespace } = capabilities;
  // An agent of before this list says no xsave components, and then nothing of time namespaces either.
  const isSaid = xsaveComponents.length > 0 || cgroupVersion > 0;
  const more = isSaid ? { xsaveComponents, cgroupVersion, pidLimit, timeNamespace } : {};
  return { lazyPages, memoryAvailableBytes, cpuFeatures, criuVersion: capabilities.criu?.version ?? "", arch, kernelVersion, ...more };
}

export const needsToProto = (needs: KnownNeeds): MessageInitShape<typeof WorkloadNeedsSchema> => ({ ...needs });

export function preflightToProto(report: PreflightReport): MessageInitShape<typeof PreflightReportSchema> {
  return {
    blockers: report.blockers.map((finding) => ({ ...finding })),
    warnings: report.warnings.map((finding) => ({ ...finding })),
    memoryBytes: bigintOf(report.memoryBytes),
    processCount: report.processCount,
    tcpEstablished: report.tcpEstablished,
    fileBytes: bigintOf(report.fileBytes),
    chosenMode: protoModes[report.chosenMode],
    modeReason: report.modeReason,
    forecast: forecastToProto(report.forecast),
  };
}

const copyEnds = {
  converged: CopyEnd.CONVERGED,
  "no-gain": CopyEnd.NO_GAIN,
  deadline: CopyEnd.DEADLINE,
  failed: CopyEnd.FAILED,
} as const;

function forecastToProto(forecast: Forecast): MessageInitShape<typeof MoveForecastSchema> {
  const { classes, ...rest } = forecast;
  return {
    ...rest,
    memoryBytes: bigintOf(forecast.memoryBytes),
    freezeBytes: bigintOf(forecast.freezeBytes),
    ...(classes === undefined
      ? {}
      : {
          classes: {
            privateBytes: bigintOf(classes.privateBytes),
            sharedBytes: bigintOf(classes.sharedBytes),
            carried: classes.carried.map((one) => ({ ...one, bytes: bigintOf(one.bytes) })),
          },
        }),
  };
}

/** What the control plane told with a preflight; 0: it does not know. */
export function knownRates({ linkBytesPerSecond, dirtyBytesPerSecond, ratesBasis, timeLeft }: PreflightAction): KnownRates {
  return {
    ...(linkBytesPerSecond > 0 ? { linkBytesPerSecond } : {}),
    ...(dirtyBytesPerSecond > 0 ? { dirtyBytesPerSecond } : {}),
    ...(ratesBasis === "" ? {} : { basis: ratesBasis }),
    ...(timeLeft === undefined ? {} : { timeLeftMs: durationMs(timeLeft) }),
  };
}

export function memoryToProto(report: CopyReport): MessageInitShape<typeof MemoryCopySchema> {
  return {
    forecast: forecastToProto(report.forecast),
    rounds: report.rounds.map((round) => ({
      number: round.number,
      startedAt: instant(round.startedAtMs),
      durationMs: round.durationMs,
      writtenPages: bigintOf(round.writtenPages),
      sentPages: bigintOf(round.sentPages),
      zeroPages: bigintOf(round.zeroPages),
      sentBytes: bigintOf(round.sentBytes),
      forecast: forecastToProto(round.forecast),
    })),
    end: report.end === undefined ? CopyEnd.UNSPECIFIED : copyEnds[report.end],
    endDetail: report.endDetail ?? "",
    keptPages: bigintOf(report.keptPages ?? 0),
    lastPages: bigintOf(report.lastPages ?? 0),
    imagePages: bigintOf(report.imagePages ?? 0),
    sharedPages: bigintOf(report.sharedPages ?? 0),
    transport: report.transport ?? "",
    throttledToPercent: report.throttledToPercent ?? 0,
    wireBytes: bigintOf(report.wireBytes ?? 0),
    ...(report.predicted === undefined ? {} : { predicted: forecastToProto(report.predicted) }),
  };
}

export function manifestToProto(manifest: Manifest): MessageInitShape<typeof ManifestSchema> {
  return {
    images: manifest.images.map(({ name, bytes, sha256 }) => ({ name, bytes: bigintOf(bytes), sha256 })),
    memoryBytes: bigintOf(manifest.memoryBytes),
    pageCount: bigintOf(manifest.pageCount),
    filesDigest: manifest.filesDigest,
    fileCount: bigintOf(manifest.fileCount),
    fileBytes: bigintOf(manifest.fileBytes),
    processCount: manifest.processCount,
    tcpConnections: [...manifest.tcpConnections],
    processDigest: manifest.processDigest,
    sections: manifest.sections.map(({ name, leafCount, root }) => ({ name, leafCount: bigintOf(leafCount), root })),
    root: manifest.root,
  };
}

export function freezeToProto(result: FreezeResult): MessageInitShape<typeof FreezeFactsSchema> {
  return {
    manifest: manifestToProto(result.manifest),
    frozenAt: instant(result.frozenAtMs),
    resetsSent: result.resetsSent,
    segmentsRetransmitted: result.segmentsRetransmitted,
    statement: statementToProto(result.statement),
    kernel: kernelToProto(result.kernel),
    ...(result.memory === undefined ? {} : { memory: memoryToProto(result.memory) }),
  };
}

/** What is not known stays absent. */
function kernelToProto(
  facts: KernelFacts,
  blackout?: { readonly ms: number | null; readonly errorMs: number },
): MessageInitShape<typeof KernelFactsSchema> {
  const { stoppedAtMs, ranAtMs } = facts;
  const numbers = {
    resetsSent: facts.resetsSent,
    resetsReceived: facts.resetsReceived,
    segmentsRetransmitted: facts.segmentsRetransmitted,
    runQueueP50Us: facts.runQueueP50Us,
    runQueueP99Us: facts.runQueueP99Us,
    observedMs: facts.observedMs,
    blackoutMs: blackout?.ms ?? null,
    blackoutErrorMs: blackout === undefined || blackout.ms === null ? null : blackout.errorMs,
  };
  return {
    source: facts.source,
    ...(stoppedAtMs !== null && { stoppedAt: instant(stoppedAtMs) }),
    ...(ranAtMs !== null && { ranAt: instant(ranAtMs) }),
    ...Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== null)),
  };
}

/** What was not measured is named; its field holds 0, which nobody may read. */
export function resumeToProto(result: ResumeResult): MessageInitShape<typeof ResumeFactsSchema> {
  const measured = {
    "network.packets_held": result.packetsHeld,
    "network.packets_replayed": result.packetsReplayed,
    "network.packets_dropped": result.packetsDropped,
    "network.resets_sent": result.resetsSent,
    "network.segments_retransmitted": result.segmentsRetransmitted,
    freeze_ms: result.freezeMs,
  };
  return {
    resumedAt: instant(result.resumedAtMs),
    network: {
      packetsHeld: result.packetsHeld ?? 0,
      packetsReplayed: result.packetsReplayed ?? 0,
      packetsDropped: result.packetsDropped ?? 0,
      resetsSent: result.resetsSent ?? 0,
      segmentsRetransmitted: result.segmentsRetransmitted ?? 0,
      holdMethod: result.holdMethod,
    },
    freezeMs: result.freezeMs ?? 0,
    clockErrorMs: result.clockErrorMs ?? 0,
    unknown: Object.entries(measured).flatMap(([name, value]) => (value === null ? [name] : [])),
    ...(result.statement === undefined ? {} : { statement: statementToProto(result.statement) }),
    leaves: (result.leaves ?? []).map(({ section, leaves, isLeftOut }) => ({ section, leaves: [...leaves], isLeftOut })),
    kernel: kernelToProto(result.kernel, { ms: result.blackoutMs, errorMs: result.clockErrorMs ?? 0 }),
  };
}

function statementToProto({
  payloadType,
  payload,
  signature,
  certificateChain,
}: SignedStatement): MessageInitShape<typeof SignedStatementSchema> {
  const bytes = (text: string) => Uint8Array.from(Buffer.from(text, "base64"));
  return { payloadType, payload: bytes(payload), signature: bytes(signature), certificateChain: certificateChain.map(bytes) };
}

export function snapshotToProto(result: SnapshotResult): MessageInitShape<typeof SnapshotFactsSchema> {
  const { freezeMs, chunkCount, newChunkCount, cpuSeconds, totalMs, manifestSha256, sinceSnapshotId, wholeBecause } = result;
  return {
    ...{ freezeMs, chunkCount, newChunkCount, cpuSeconds, totalMs, manifestSha256, sinceSnapshotId, wholeBecause },
    readBytes: bigintOf(result.readBytes),
    manifest: manifestToProto(result.manifest),
    bytes: bigintOf(result.bytes),
    storedBytes: bigintOf(result.storedBytes),
    freezeBytes: bigintOf(result.freezeBytes),
  };
}

export function phaseToProto(phase: Phase, nodeId: string): MessageInitShape<typeof MigrationPhaseSchema> {
  return {
    name: phase.name,
    nodeId,
    startedAt: instant(phase.startedAtMs),
    durationMs: phase.durationMs,
    outcome: phase.outcome,
    facts: { ...phase.facts },
  };
}

/** An unknown error leaves this process without its text: that is in the log, under the trace id. */
export function errorToProto(problem: Fault, traceId: string): MessageInitShape<typeof ErrorDetailSchema> {
  const isUnknown = problem.code === "INTERNAL";
  return {
    code: problem.code,
    message: isUnknown ? problem.row.title : problem.message,
    hint: problem.hint,
    field: problem.field ?? "",
    traceId,
    details: isUnknown ? {} : { ...problem.details },
  };
}

/** Whole and not negative, whatever a measurement came to. */
const bigintOf = (value: number): bigint => BigInt(Math.max(0, Math.round(value)));

const isCleanPath = (path: string): boolean =>
  // A line feed would begin a new setting where a path stands in a file of settings.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  path.startsWith("/") && !/[\x00-\x1f\x7f]/.test(path) && !path.split("/").some((part) => part === "." || part === "..");

/** Whole milliseconds: the engine measures with fractions, which a Timestamp cannot be encoded from. */
const instant = (ms: number) => timestampFromMs(Math.round(ms));
