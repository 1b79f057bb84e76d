// What an engine is told and what it answers: plain values, on their way through whoever drives it. What it does with them: engine.ts.
import type { KnownNeeds, KnownNode } from "@aether/contract";
import type { KernelFacts } from "./kernel/facts.ts";
import type { CopyEnd, Forecast, Round } from "./memory/rounds.ts";
import type { PageTransport } from "./memory/transport.ts";
import type { HoldMethod } from "./network/hold.ts";

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
  /** Processes and threads at once; undefined: no limit. */
  readonly pidsLimit?: number;
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
  readonly transport?: PageTransport;
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
  /** Where it writes as fast as the link carries and its freeze would be longer, the copy throws MODE_UNAVAILABLE; 0 or undefined: it is frozen however long. */
  readonly maxFreezeMs?: number;
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
