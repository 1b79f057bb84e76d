// The durable record of each workload on this host: written before the side effect that it announces, read after any crash.
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { readTextNow, writeFileAtomic, writeFileAtomicNow } from "@aether/kit";
import { z } from "zod";
import { type Host, workloadDir, workloadsDir } from "./host.ts";
import { imagePin } from "./image/images.ts";

export const workloadSpec = z.object({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/),
  rootfs: z.string(),
  argv: z.array(z.string()),
  env: z.record(z.string(), z.string()),
  workingDirectory: z.string(),
  address: z.ipv4(),
  volumes: z.array(z.object({ source: z.string(), destination: z.string(), mode: z.enum(["shared", "sync"]) })),
  memoryLimitBytes: z.number().nonnegative(),
  pidsLimit: z.int().positive().exactOptional(),
  user: z.string().exactOptional(),
});

const workloadRecord = z.object({
  spec: workloadSpec,
  epoch: z.number(),
  /** starting: intent only. prepared: a target's reservation. The others as in WorkloadPhase. */
  phase: z.enum(["starting", "running", "frozen", "prepared", "restored", "exited", "stopped"]),
  /** The migration that froze, prepared or restored it. */
  migrationId: z.string().optional(),
  pid: z.number().optional(),
  /** Field 22 of /proc/PID/stat: a pid that was used again is not ours. */
  pidStartTicks: z.number().optional(),
  shimPid: z.number().optional(),
  /** Inodes of the pipes that the process has as stdout and stderr: a restore finds them by these names. */
  stdio: z.object({ stdout: z.number(), stderr: z.number() }).optional(),
  exitCode: z.number().optional(),
  /** The image that an "oci:" rootfs turned out to be when the workload first started: the layout may change, the workload does not. */
  image: imagePin.optional(),
});
export type WorkloadRecord = z.infer<typeof workloadRecord>;

const file = (host: Host, name: string) => join(workloadDir(host, name), "record.json");

export async function readRecord(host: Host, name: string): Promise<WorkloadRecord | undefined> {
  const text = readTextNow(file(host, name));
  return text ? workloadRecord.parse(JSON.parse(text)) : undefined;
}

/** The record, or WORKLOAD_NOT_FOUND. */
export async function requireRecord(host: Host, name: string): Promise<WorkloadRecord> {
  const record = await readRecord(host, name);
  if (record === undefined) throw fault("WORKLOAD_NOT_FOUND", `there is no workload "${name}" on ${host.options.hostId}`);
  return record;
}

export async function writeRecord(host: Host, record: WorkloadRecord): Promise<void> {
  await writeFileAtomic(file(host, record.spec.name), JSON.stringify(record));
}

/** Of a workload that is restored and not resumed yet: a loss of power ends it as well, so clients do not wait for the disk. */
export function noteRecord(host: Host, record: WorkloadRecord): void {
  writeFileAtomicNow(file(host, record.spec.name), JSON.stringify(record));
}

export async function listRecords(host: Host): Promise<WorkloadRecord[]> {
  await mkdir(workloadsDir(host), { recursive: true });
  const found: WorkloadRecord[] = [];
  for (const name of await readdir(workloadsDir(host))) {
    const record = await readRecord(host, name);
    if (record !== undefined) found.push(record);
  }
  return found;
}

export async function forgetRecord(host: Host, name: string): Promise<void> {
  await rm(file(host, name), { force: true });
}

/** All that this host has of a workload on disk. Its shim may still be writing the exit code: what appears while the folder goes is no failure. */
export async function removeWorkloadDir(host: Host, name: string): Promise<void> {
  await rm(workloadDir(host, name), { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
}
