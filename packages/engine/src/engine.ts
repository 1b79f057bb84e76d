// The engine's promise: it runs workloads on one host and moves one workload between two hosts, and knows nothing of a control plane.
// Whoever drives it (the agent, a test, a script) calls the steps in the order of a migration; each step is idempotent, can be
// repeated after a crash of the caller, and has its own deadline. Everything that must survive a crash is in `stateDir`.
import type { Logger } from "@aether/kit";
import type { IdentitySource } from "@aether/kit/identity";
import type { KernelFacts } from "./kernel/facts.ts";
import type { Answer } from "./kernel/helper.ts";
import type { KernelProbe } from "./kernel/probe.ts";
import type { HoldMethod } from "./network/hold.ts";
import type { S3StoreOptions } from "./snapshot/s3-store.ts";
import type {
  CopyLimits,
  CopyReport,
  FreezeResult,
  Inspection,
  KnownRates,
  MigrationMode,
  MigrationRef,
  Peer,
  PreflightReport,
  Progress,
  RestoreResult,
  ResumeResult,
  SnapshotKey,
  SnapshotLimits,
  SnapshotResult,
  TargetCapabilities,
  WorkloadPlace,
  WorkloadSpec,
  WorkloadStatus,
  WorkloadUsage,
} from "./values.ts";

export type * from "./values.ts";

/** What the engine needs of its host. */
export interface EngineOptions {
  /** Names this host in namespaces, cgroups and containers: unique on the machine (several hosts may share one machine in the lab). */
  readonly hostId: string;
  /** Durable state; removed by nobody else. Holds one folder a workload and one a migration. */
  readonly stateDir: string;
  /** Files and folders of this machine that workloads on its own root ("host") do not see, beside `stateDir` and `snapshotDir`; they need not be there. */
  readonly hiddenPaths?: readonly string[];
  /** Snapshot store: a directory that all hosts reach. */
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
  /** Called on both hosts shortly before a workload stops: what this process would do by itself at some moment, it does now. Not while clients wait. */
  readonly settle?: () => void;
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
