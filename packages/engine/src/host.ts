// What every part of the engine works with: its options, its folders, and names derived from host and workload that fit the kernel's limits.
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { EngineOptions } from "./engine.ts";
import type { KernelHelper } from "./kernel/helper.ts";

export interface Host {
  readonly options: EngineOptions;
  /** A tmpfs folder for checkpoint images and criu's feature cache. */
  readonly memoryDir: string;
  readonly helper: KernelHelper;
  /** criu can be started ahead of its time and waits for a word itself (`--go-fd`): ours can (scripts/prepare/criu/), others cannot. */
  readonly criuWaits: boolean;
  /** criu reads from a file which pages to leave out (`--pages-held`): then nothing stands between it and the kernel. Others are answered through seccomp. */
  readonly criuReadsHeld: boolean;
  /** Killed in a dump, it leaves what brings the task back that ran its code. */
  readonly criuKeepsOrphan: boolean;
  /** criu lets its tasks inherit memory that is written into it while it waits (`--inherit-memory`): no page has to be fetched after the resume then. */
  readonly criuInherits: boolean;
  /** OpenSSL's version in our native program: pages go from helper to helper. Undefined: the agents carry them. */
  readonly helperTls: string | undefined;
}

export const workloadsDir = (host: Host): string => join(host.options.stateDir, "workloads");
export const workloadDir = (host: Host, name: string): string => join(workloadsDir(host), name);
export const migrationsDir = (host: Host): string => join(host.options.stateDir, "migrations");
export const migrationDir = (host: Host, id: string): string => join(migrationsDir(host), id);

/** Who gives names to what it makes in the kernel. */
export type Namer = { readonly options: Pick<EngineOptions, "hostId"> };

/** Eight characters that stand for (host, workload): interface names may have 15. */
export function shortName(host: Namer, workload: string): string {
  return createHash("sha256").update(`${host.options.hostId}/${workload}`).digest("hex").slice(0, 8);
}

export const namespaceName = (host: Host, workload: string): string => `ae-${host.options.hostId}-${shortName(host, workload)}`;
export const containerId = (host: Host, workload: string): string => `ae-${host.options.hostId}-${workload}`;
export const vethName = (host: Host, workload: string): string => `aev${shortName(host, workload)}`;
export const holdName = (host: Namer, workload: string): string => `aeh${shortName(host, workload)}`;
