// The engine's promise: it runs workloads on one host and moves one workload between two hosts, and knows nothing of a control plane.
// Whoever drives it (the agent, a test, a script) calls the steps in the order of a migration; each step is idempotent, can be
// repeated after a crash of the caller, and has its own deadline. Everything that must survive a crash is in `stateDir`.
import type { KnownNeeds, KnownNode } from "@aether/contract";
import type { Logger } from "@aether/kit";
import type { IdentitySource } from "@aether/kit/identity";
import type { KernelFacts } from "./kernel/facts.ts";
import type { Answer } from "./kernel/helper.ts";
import type { KernelProbe } from "./kernel/probe.ts";
import type { KnownRates } from "./memory/mode.ts";
import type { CopyEnd, Forecast, Round } from "./memory/rounds.ts";
import type { Transport } from "./memory/transport.ts";
import type { HoldMethod } from "./network/hold.ts";
import type { S3StoreOptions } from "./snapshot/s3-store.ts";

/** What the engine needs of its host. */
export interface EngineOptions {
  /** Names this host in namespaces, cgroups and containers: unique on the machine (several hosts may share one machine in the lab). */
  readonly hostId: string;
  /** Durable state; removed by nobody else. Holds one folder a workload and one a migration. */
  readonly stateDir: string;
  /** Snapshot store: a directory that all hosts reach. */
  /** Files and folders of this machine that workloads on its own root ("host") do not see, beside `stateDir` and `snapshotDir`; they need not be there. */
  readonly hiddenPaths?: readonly string[];
  readonly snapshotDir: string;
  /** In its place: a bucket. */
  readonly snapshotBucket?: S3StoreOptions;
  readonly tools: Tools;
  /** The interface over which workload addresses are reached, e.g. eth0. */
  readonly hostInterface: string;
  /** Address that other engines connect to. */
  readonly linkAddress: string;
  /** 0: any free port. */
  readonly linkPort: number;
  /** This host's X.509-SVID; both ends of a link authenticate with it. */
  readonly identity: IdentitySource;
  /** Methods of holding packets, the first that works is taken. Default: all, the best first. */
  readonly packetHold?: readonly HoldMethod[];
  readonly log: Logger;
  /** Tests wait for these; nobody else has a reason to change them. */
  readonly limits?: Limits;
}

export interface Limits {
  /** A freeze whose agent gives no sign of life for so long is undone by its guard, ms. Default 10,000. */
  readonly silenceMs?: number;
  /** criu dump of a small workload, ms. Default 15,000. */
  readonly dumpMs?: number;
}

/** Absolute paths of the programs that the engine calls. */
export interface Tools {
  readonly criu: string;
  readonly runc: string;
  readonly ip: string;
  readonly nft: string;
  readonly rsync: string;
  /** The C helper of native/ (shim, hold, announce). */
  readonly native: string;
  /** native/'s programs for the kernel (aether-bpf). The engine works without it. */
  readonly bpf: string;
}

export interface Volume {
  readonly source: string;
  readonly destination: string;
  readonly mode: "shared" | "sync";
}

export interface WorkloadSpec {
  readonly name: string;
  /** "host", an absolute directory, or "oci:DIR". */
  readonly rootfs: string;
  /** Empty: the image's own command. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Empty: the image's, else /. */
  readonly workingDirectory: string;
  /** IPv4, a /32 of its own. */
  readonly address: string;
  readonly volumes: readonly Volume[];
  /** 0: none. */
  readonly memoryLimitBytes: number;
  /** "USER" or "USER:GROUP", names or numbers; empty: the image's, else root. */
  readonly user?: string;
}

/** running; frozen: stopped on the source of a migration; restored: stopped on a target, before its commit; exited: by itself; stopped: on request. */
export type WorkloadPhase = "running" | "frozen" | "restored" | "exited" | "stopped";

export interface WorkloadStatus {
  readonly name: string;
  readonly epoch: number;
  readonly phase: WorkloadPhase;
  readonly migrationId: string | undefined;
  /** In the host's pid namespace; undefined when no process is there. */
  readonly pid: number | undefined;
  readonly exitCode: number | undefined;
  readonly spec: WorkloadSpec;
}

export interface WorkloadUsage {
  readonly memoryBytes: number;
  readonly cpuFraction: number;
  readonly processCount: number;
  readonly tcpEstablished: number;
}

/** Where a running workload can be measured from outside. */
export interface WorkloadPlace {
  /** Its first process, in this host's pid namespace. */
  readonly pid: number;
  /** Its folder in every cgroup hierarchy: one on version 2, several where version 1 is mounted. */
  readonly cgroupDirs: readonly string[];
}

export type MigrationMode = "auto" | "pre-copy" | "post-copy" | "stop-and-copy";

export interface Peer {
  readonly nodeId: string;
  readonly address: string;
  readonly port: number;
}

/** What identifies one move in every call. */
export interface MigrationRef {
  readonly migrationId: string;
  readonly workload: string;
  /** Epoch of the placement that is left; the target's will be one more. */
  readonly epoch: number;
}

export type { KnownRates } from "./memory/mode.ts";
/** What a freeze would cost; see memory/rounds.ts. */
export type { Forecast } from "./memory/rounds.ts";

/** Memory copied while the workload runs. */
export interface CopyReport {
  readonly forecast: Forecast;
  readonly rounds: readonly (Round & { readonly forecast: Forecast })[];
  readonly end?: CopyEnd;
  readonly endDetail?: string;
  /** Before the first pass. */
  readonly predicted?: Forecast;
  /** How pages travelled, and what that made of them. */
  readonly transport?: Transport;
  readonly wireBytes?: number;
  /** What the workload's CPU was held down to while memory was copied, percent of one processor. */
  readonly throttledToPercent?: number;
  /** At the freeze, pages: the target has them already; of these, sent inside the freeze; left to criu's images. */
  readonly keptPages?: number;
  readonly lastPages?: number;
  readonly imagePages?: number;
  /** Of the pages that the target has, those of shared memory. */
  readonly sharedPages?: number;
}

/** What the caller grants a copy. */
export interface CopyLimits {
  /** Until the freeze must begin, ms from now. */
  readonly timeLeftMs?: number;
  /** The mode was asked for by name: where it cannot be had any more, the copy throws MODE_UNAVAILABLE instead of letting memory travel otherwise. */
  readonly isModeRequired?: boolean;
  /** How far its CPU may be held down where it writes faster than the link carries, percent of one processor; 0 or undefined: not at all. */
  readonly minCpuPercent?: number;
}

/** A phase, reported when it ends. Names are those of the control plane's vocabulary: freeze.network_cut, freeze.dump, transfer.images, … */
export interface Phase {
  readonly name: string;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly outcome: "ok" | "failed";
  readonly facts: Readonly<Record<string, string>>;
}

export interface Progress {
  phase(phase: Phase): void;
  bytes(phase: string, done: number, total: number): void;
  /** All passes so far, after each. */
  memory?(report: CopyReport): void;
}

export interface Finding {
  readonly code: string;
  readonly message: string;
  readonly mend: string;
  readonly subject: string;
}

export interface PreflightReport {
  /** What a target must have. */
  readonly needs: KnownNeeds;
  readonly blockers: readonly Finding[];
  readonly warnings: readonly Finding[];
  readonly memoryBytes: number;
  readonly processCount: number;
  readonly tcpEstablished: number;
  readonly fileBytes: number;
  readonly chosenMode: Exclude<MigrationMode, "auto">;
  readonly modeReason: string;
  readonly forecast: Forecast;
}

export interface ManifestEntry {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A part of what left or arrived; `root` is a Merkle tree hash (receipt/merkle.ts) over its leaves. */
export interface EvidenceSection {
  readonly name: string;
  readonly leafCount: number;
  readonly root: string;
}

/** As in the contract; base64 where that has bytes. */
export interface SignedStatement {
  readonly payloadType: string;
  readonly payload: string;
  readonly signature: string;
  readonly certificateChain: readonly string[];
}

/** What left the source, or reached the target. */
export interface Manifest {
  readonly images: readonly ManifestEntry[];
  readonly memoryBytes: number;
  readonly pageCount: number;
  readonly filesDigest: string;
  readonly fileCount: number;
  readonly fileBytes: number;
  readonly processCount: number;
  readonly tcpConnections: readonly string[];
  readonly processDigest: string;
  /** Sorted by name. */
  readonly sections: readonly EvidenceSection[];
  /** Merkle root over the sections. */
  readonly root: string;
}

/** What is not known of the target is left out, and not held against it. */
export interface TargetCapabilities extends KnownNode {
  readonly lazyPages: boolean;
}

/** What this host is; see preflight/host-facts.ts. */
export interface HostFacts {
  readonly arch: string;
  readonly cpuModel: string;
  readonly cpuFeatures: string[];
  readonly xsaveComponents: string[];
  readonly kernelVersion: string;
  readonly cgroupVersion: number;
  readonly pidLimit: number;
  readonly timeNamespace: boolean;
}

/** A preflight against a target that is like this host, made to know the answer in advance. */
export interface Inspection {
  readonly report: PreflightReport;
  readonly tookMs: number;
  readonly cpuMs: number;
}

export interface FreezeResult {
  readonly manifest: Manifest;
  readonly frozenAtMs: number;
  readonly resetsSent: number;
  readonly segmentsRetransmitted: number;
  readonly kernel: KernelFacts;
  readonly memory?: CopyReport;
  readonly statement: SignedStatement;
}

export interface RestoreResult {
  readonly manifest: Manifest;
  readonly areImagesEqual: boolean;
}

/** null: not measured, because the process that measured it is gone. */
export interface ResumeResult {
  readonly resumedAtMs: number;
  readonly packetsHeld: number | null;
  readonly packetsReplayed: number | null;
  readonly packetsDropped: number | null;
  readonly resetsSent: number | null;
  readonly segmentsRetransmitted: number | null;
  readonly holdMethod: HoldMethod | "none";
  /** From the source's cut to this resume; the two clocks were compared over the link. */
  readonly freezeMs: number | null;
  readonly clockErrorMs: number | null;
  readonly kernel: KernelFacts;
  /** From the first task's stop on the source to the first task's run here, as both kernels saw it; null where one of them did not. */
  readonly blackoutMs: number | null;
  /** Undefined only for a move whose restore was made by an older version. */
  readonly statement?: SignedStatement;
  /** What the roots of the target's manifest are made of; undefined where it was lost. A section with too many leaves is empty and left out. */
  readonly leaves?: readonly { readonly section: string; readonly leaves: readonly string[]; readonly isLeftOut: boolean }[];
}

export interface SnapshotResult {
  readonly manifest: Manifest;
  /** Of images and files, before compression. */
  readonly bytes: number;
  readonly freezeMs: number;
  /** Memory that was read while it stood still; the rest was copied before, while it ran. */
  readonly freezeBytes: number;
  /** Memory and files that were read for it. */
  readonly readBytes: number;
  /** The snapshot since which its memory was read; empty: all of it was. */
  readonly sinceSnapshotId: string;
  /** Why all of it was read; empty where it was not. */
  readonly wholeBecause: string;
  /** Written to the store: chunks that an earlier snapshot of the workload has are not written again. */
  readonly storedBytes: number;
  readonly chunkCount: number;
  readonly newChunkCount: number;
  /** Of this process and of those that copied memory; criu's own is in the freeze. */
  readonly cpuSeconds: number;
  readonly totalMs: number;
  /** Of the manifest object in the store. */
  readonly manifestSha256: string;
}

export interface SnapshotLimits {
  /** The workload may be stopped this long; undefined: as long as it takes. */
  readonly maxFreezeMs?: number;
}

/** Wraps the data keys of one workload's snapshots. */
export interface SnapshotKey {
  /** Of the cluster key that it was derived from. */
  readonly id: string;
  /** 32 bytes. */
  readonly key: Uint8Array;
}

/** Workloads of this host. */
export interface Runtime {
  /** Starts it in this epoch. WORKLOAD_START_FAILED, COMMAND_NOT_EXECUTABLE, ROOTFS_INVALID, VOLUME_INVALID. Starting what runs in the same epoch changes nothing. */
  start(spec: WorkloadSpec, epoch: number, signal: AbortSignal): Promise<WorkloadStatus>;
  /** SIGTERM, then SIGKILL after `graceMs`. Stopping what is stopped changes nothing. */
  stop(name: string, graceMs: number, signal: AbortSignal): Promise<WorkloadStatus>;
  /** Destroys process, namespace, mounts, files of the workload on this host. Safe when there is nothing. */
  remove(name: string, signal: AbortSignal): Promise<void>;
  /** All that this host has, from disk and kernel; also right after a restart. */
  list(): Promise<readonly WorkloadStatus[]>;
  usage(name: string): Promise<WorkloadUsage>;
  /** Undefined when no process of it is there. */
  locate(name: string): Promise<WorkloadPlace | undefined>;
  /** Chunks of stdout and stderr, in order, from the last `tailLines` (0: all kept). Ends with the workload unless `follow`. */
  logs(name: string, options: { follow: boolean; tailLines: number }, signal: AbortSignal): AsyncIterable<Uint8Array>;
  exec(
    name: string,
    argv: readonly string[],
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<{ exitCode: number; stdout: Uint8Array; stderr: Uint8Array; isTruncated: boolean }>;
  /** Called when a process ends by itself. */
  onExit(listener: (status: WorkloadStatus) => void): () => void;
}

/** Steps on the host that the workload leaves. */
export interface SourceSide {
  preflight(
    workload: string,
    requested: MigrationMode,
    target: TargetCapabilities,
    known: KnownRates,
    signal: AbortSignal,
  ): Promise<PreflightReport>;
  /** Copies files (and memory, where the mode says so) while the workload runs. */
  copy(
    ref: MigrationRef,
    peer: Peer,
    mode: Exclude<MigrationMode, "auto">,
    limits: CopyLimits,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<{ fileBytes: number; fileCount: number; memory?: CopyReport }>;
  /** Cuts the network, freezes, dumps, sends. The workload is frozen when this returns; when it throws, it runs again. */
  freeze(
    ref: MigrationRef,
    peer: Peer,
    mode: Exclude<MigrationMode, "auto">,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<FreezeResult>;
  /**
   * Before the commit: runs again, with its network. Safe without a freeze before it.
   * @param newEpoch also after the commit, when a person has decided for this copy: it must be here (WORKLOAD_NOT_FOUND, WORKLOAD_NOT_RUNNING).
   */
  thaw(ref: MigrationRef, progress: Progress, signal: AbortSignal, newEpoch?: number): Promise<void>;
  /** After the target's resume: destroys the frozen copy and its files. Refuses when the workload is not frozen by this migration. */
  release(ref: MigrationRef, progress: Progress, signal: AbortSignal): Promise<void>;
}

/** Steps on the host that the workload comes to. */
export interface TargetSide {
  /** Reserves, makes namespace, mounts, cgroup and hold ready, and lets the named node's link in. */
  prepare(
    ref: MigrationRef,
    spec: WorkloadSpec,
    sourceNodeId: string,
    mode: Exclude<MigrationMode, "auto">,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<{ linkAddress: string; linkPort: number; holdMethod: HoldMethod | "none" }>;
  /** Waits for the images (the source's freeze sends them) and restores, stopped: no instruction of the workload has run when this returns. */
  restore(ref: MigrationRef, mode: Exclude<MigrationMode, "auto">, progress: Progress, signal: AbortSignal): Promise<RestoreResult>;
  /** After the commit, in epoch `ref.epoch + 1`: continue, release held packets, announce the address. Safe to repeat. */
  resume(ref: MigrationRef, progress: Progress, signal: AbortSignal): Promise<ResumeResult>;
  /** Post-copy: returns when every page is here. */
  drainPages(ref: MigrationRef, progress: Progress, signal: AbortSignal): Promise<void>;
  /** Before the commit: destroys all that prepare and restore made. Safe at any time before resume; refuses after it. */
  abort(ref: MigrationRef, progress: Progress, signal: AbortSignal): Promise<void>;
}

export interface Snapshots {
  /**
   * A checkpoint into the store; the workload runs on, and was stopped for `freezeMs`. SNAPSHOT_OVER_BUDGET: it would have been stopped for longer than
   * the limit, so that it was not stopped at all.
   */
  create(
    workload: string,
    snapshotId: string,
    key: SnapshotKey,
    limits: SnapshotLimits,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<SnapshotResult>;
  /** Checks every digest, then starts the workload from it in this epoch. SNAPSHOT_CORRUPT leaves the snapshot as it is and starts nothing. */
  restore(
    snapshotId: string,
    spec: WorkloadSpec,
    epoch: number,
    key: SnapshotKey,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<WorkloadStatus>;
  /** Reads every chunk and compares it with its digest; needs no key. Throws SNAPSHOT_NOT_FOUND, SNAPSHOT_CORRUPT. Starts and changes nothing. */
  verify(snapshotId: string, spec: WorkloadSpec, progress: Progress): Promise<void>;
  /** All of it as one stream, sealed as it is. Throws SNAPSHOT_NOT_FOUND, SNAPSHOT_CORRUPT. */
  exportTo(snapshotId: string): AsyncIterable<Uint8Array>;
  /** Takes such a stream into the store; it is there when everything is, or not at all. Throws SNAPSHOT_CORRUPT. */
  importFrom(snapshotId: string, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
  /** And the chunks that no other snapshot needs, unless one is being made just now: then the next removal takes them. */
  remove(snapshotId: string): Promise<void>;
}

export interface CanaryResult {
  readonly isAvailable: boolean;
  readonly criuVersion: string;
  readonly dumpMs: number;
  readonly restoreMs: number;
  readonly lazyPages: boolean;
  readonly reason: string;
  /** Why memory cannot be tracked here; empty when it can. */
  readonly noTracking: string;
}

export type { KernelFacts } from "./kernel/facts.ts";
export type { KernelProbe } from "./kernel/probe.ts";
export type { HoldMethod, HoldReasons } from "./network/hold.ts";

/** The kernel of this host, so far as our programs in it can see and do. */
export interface Kernel {
  probe(signal: AbortSignal): Promise<KernelProbe>;
  /** What is seen of a workload since its freeze or resume on this host. */
  facts(workload: string): Promise<KernelFacts>;
  /** A question to the kernel helper (native/src/bpf); throws TOOL_MISSING, TOOL_FAILED. */
  ask(...words: readonly (string | number)[]): Promise<Answer>;
  /**
   * Distinct bytes that a workload writes a second, from a look of 0.2 s (about 1 ms of its time and 40 ms of CPU at 1 GiB): ask seldom. Undefined where
   * the kernel cannot (before 6.7), or while it is moved.
   */
  dirtyRate(workload: string, signal: AbortSignal): Promise<number | undefined>;
}

/** What a short transfer over the link has measured. */
export interface LinkProbe {
  readonly bytesPerSecond: number;
  /** The shortest of a few, over TLS and through both processes. */
  readonly roundTripMs: number;
  /** That were sent for it. */
  readonly bytes: number;
}

export interface Engine {
  readonly runtime: Runtime;
  readonly source: SourceSide;
  readonly target: TargetSide;
  readonly snapshots: Snapshots;
  readonly kernel: Kernel;
  /** Checkpoints and restores a small process of its own, with a TCP connection: what this host can really do. */
  canary(signal: AbortSignal): Promise<CanaryResult>;
  /** What a preflight would say now; cheap enough to be asked every half minute. WORKLOAD_NOT_FOUND. */
  inspect(workload: string, signal: AbortSignal): Promise<Inspection>;
  /** Where other engines reach this one. */
  readonly link: { readonly address: string; readonly port: number };
  /** Measures the way to another engine by a short transfer. Throws TRANSFER_FAILED, IDENTITY_REJECTED. */
  probe(peer: Peer, signal: AbortSignal): Promise<LinkProbe>;
  /**
   * Puts right what a crash left: half-made preparations are destroyed, a frozen workload stays frozen until somebody says thaw or release,
   * helpers without an owner end. Called once, before any other call.
   */
  recover(signal: AbortSignal): Promise<void>;
  /** Stops listening. Workloads run on. */
  stop(): Promise<void>;
}
