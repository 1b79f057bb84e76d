// Every field of a workload's spec, checked at the edge. What only the node can know (is the command executable there?) it answers itself.
import { fault, parseWorkloadName } from "@aether/contract";
import type { HealthCheck } from "@aether/contract/gen/aether/v2/common_pb";
import {
  type EvacuationPolicy,
  OnNodeLost,
  type Volume,
  VolumeMode,
  type WorkloadSpec,
  WorkloadSpecSchema,
} from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import { type AddressPool, requireInPool } from "./address-pool.ts";

const invalid = (field: string, message: string) => fault("INVALID_ARGUMENT", `${field} ${message}`, { field });

const maxArgvBytes = 128 * 1024;

/** A spec that may be stored and sent to a node; the address may still be empty. Throws INVALID_ARGUMENT, ROOTFS_INVALID, VOLUME_INVALID. */
export function parseSpec(spec: WorkloadSpec | undefined, pool: AddressPool): WorkloadSpec {
  if (spec === undefined) throw invalid("spec", "is missing");
  return create(WorkloadSpecSchema, {
    name: parseWorkloadName(spec.name, "spec.name"),
    rootfs: parseRootfs(spec.rootfs),
    // An image names a command of its own.
    argv: spec.argv.length === 0 && spec.rootfs.startsWith("oci:") ? [] : parseArgv(spec.argv, "spec.argv"),
    address: spec.address === "" ? "" : requireInPool(pool, spec.address, "spec.address"),
    ...parseHealth(spec.health),
    volumes: parseVolumes(spec.volumes),
    memoryLimitBytes: parseMemoryLimit(spec.memoryLimitBytes),
    pidsLimit: parsePidsLimit(spec.pidsLimit),
    env: parseEnv(spec.env),
    workingDirectory: parseWorkingDirectory(spec.workingDirectory),
    user: parseUser(spec.user),
    rpoSeconds: parseRpo(spec.rpoSeconds),
    labels: parseLabels(spec.labels, "spec.labels"),
    ...parseEvacuation(spec.evacuation),
  });
}

/** Throws INVALID_ARGUMENT, naming the field. */
export function parseEvacuation(policy: EvacuationPolicy | undefined): { evacuation?: EvacuationPolicy } {
  if (policy === undefined) return {};
  const field = "spec.evacuation";
  parseObjectiveMs(policy.maxFreezeMs, `${field}.max_freeze_ms`);
  parseObjectiveMs(policy.maxTimeToSafeMs, `${field}.max_time_to_safe_ms`);
  parseMinCpu(policy.minCpuPercent, `${field}.min_cpu_percent`);
  parsePriority(policy.priority, `${field}.priority`);
  if (OnNodeLost[policy.onNodeLost] === undefined) throw invalid(`${field}.on_node_lost`, "must be HOLD or RESTORE");
  return { evacuation: policy };
}

/** 0: never held down. */
export function parseMinCpu(percent: number, field: string): number {
  if (percent === 0 || (percent >= 10 && percent <= 10_000)) return percent;
  throw invalid(field, "must be 0 (never) or 10 to 10000");
}

/** 0: none. */
export function parseObjectiveMs(ms: number, field: string): number {
  if (ms >= 0 && ms <= 86_400_000) return ms;
  throw invalid(field, "must be 0 (none) to 86400000");
}

export function parsePriority(priority: number, field: string): number {
  if (priority <= 100) return priority;
  throw invalid(field, "must be 0 to 100");
}

/** A workload's labels, or those that a policy asks for. */
export function parseLabels(labels: Readonly<Record<string, string>>, field: string): Record<string, string> {
  const entries = Object.entries(labels);
  if (entries.length > 64) throw invalid(field, "has more than 64 labels");
  for (const word of entries.flat())
    if (!/^[A-Za-z0-9._/-]{1,63}$/.test(word))
      throw invalid(field, `are 1 to 63 of a-z, A-Z, 0-9, ".", "_", "-", "/" each, not ${JSON.stringify(word.slice(0, 80))}`);
  return Object.fromEntries(entries);
}

export function parseArgv(argv: readonly string[], field: string): string[] {
  if (argv.length === 0 || argv[0] === "") throw invalid(field, "must name a command");
  if (argv.length > 1024) throw invalid(field, "has more than 1024 words");
  if (argv.some((word) => word.includes("\0"))) throw invalid(field, "must not hold a zero byte");
  if (argv.reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0) > maxArgvBytes) throw invalid(field, "is longer than 128 KiB");
  return [...argv];
}

function parseRootfs(rootfs: string): string {
  const text = rootfs === "" ? "host" : rootfs;
  const dir = text.startsWith("oci:") ? text.slice(4) : text;
  if (text === "host" || isAbsolute(dir)) return text;
  throw fault("ROOTFS_INVALID", `spec.rootfs must be host, an absolute directory, or oci:DIR, not ${JSON.stringify(text.slice(0, 100))}`, {
    field: "spec.rootfs",
  });
}

function parseWorkingDirectory(dir: string): string {
  if (dir === "" || isAbsolute(dir)) return dir;
  throw invalid("spec.working_directory", "must be an absolute path");
}

function parseUser(user: string): string {
  if (/^([A-Za-z0-9_][A-Za-z0-9_.-]{0,31}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,31})?)?$/.test(user)) return user;
  throw invalid("spec.user", "must be USER or USER:GROUP, names or numbers");
}

export function parseRpo(seconds: number, field = "spec.rpo_seconds"): number {
  // A checkpoint more often than this would be most of what the workload does.
  if (seconds === 0 || (seconds >= 10 && seconds <= 7 * 86_400)) return seconds;
  throw invalid(field, "must be 0 (none) or 10 s to 7 days");
}

function parseMemoryLimit(bytes: bigint): bigint {
  // Less than this does not start a process under runc.
  if (bytes === 0n || (bytes >= 4n << 20n && bytes <= 1n << 50n)) return bytes;
  throw invalid("spec.memory_limit_bytes", "must be 0 (none) or at least 4 MiB");
}

/** Far above what servers have, far below what a node can bear (kernel.pid_max is 32768 on the smallest). */
const defaultPidsLimit = 4096;

/** What is stored says it: a workload from before there was a limit has 0 there, and stays without one. */
function parsePidsLimit(limit: number): number {
  if (limit === 0) return defaultPidsLimit;
  // runc itself has up to a dozen threads in there while it starts; the kernel's own numbers end at 2^22.
  if (limit === -1 || (limit >= 16 && limit <= 4_194_304)) return limit;
  throw invalid("spec.pids_limit", "must be 0 (4096), -1 (no limit) or 16 to 4194304");
}

function parseEnv(env: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(env);
  if (entries.length > 512) throw invalid("spec.env", "has more than 512 variables");
  for (const [name, value] of entries) {
    if (!/^[A-Za-z_][A-Za-z0-9_.-]{0,255}$/.test(name))
      throw invalid("spec.env", `has ${JSON.stringify(name.slice(0, 60))}, which is no name of a variable`);
    if (value.includes("\0") || Buffer.byteLength(value) > 32 * 1024)
      throw invalid(`spec.env.${name}`, "must be under 32 KiB, without a zero byte");
  }
  return Object.fromEntries(entries);
}

function parseVolumes(volumes: readonly Volume[]): { source: string; destination: string; mode: VolumeMode }[] {
  if (volumes.length > 64) throw invalid("spec.volumes", "has more than 64 entries");
  const seen = new Set<string>();
  return volumes.map(({ source, destination, mode }, i) => {
    const field = `spec.volumes[${i}]`;
    const refuse = (why: string) => fault("VOLUME_INVALID", `${field}: ${why}`, { field });
    if (!isAbsolute(source)) throw refuse("the source must be an absolute path");
    if (!isAbsolute(destination) || destination === "/") throw refuse("the destination must be an absolute path below /");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    if (/[\x00-\x1f\x7f]/.test(source + destination)) throw refuse("paths have no control characters");
    if (seen.has(destination)) throw refuse(`${destination} is the destination of two volumes`);
    if (mode !== VolumeMode.SHARED && mode !== VolumeMode.SYNC) throw refuse("the mode must be SHARED or SYNC");
    seen.add(destination);
    return { source, destination, mode };
  });
}

function parseHealth(health: HealthCheck | undefined): { health?: HealthCheck } {
  const kind = health?.kind;
  if (health === undefined || kind?.case === undefined) return {};
  if (kind.case === "tcpPort" && (kind.value < 1 || kind.value > 65_535)) throw invalid("spec.health.tcp_port", "must be 1 to 65535");
  if (kind.case === "exec") parseArgv(kind.value.argv, "spec.health.exec.argv");
  if (kind.case === "httpUrl") parseHealthUrl(kind.value);
  return { health };
}

/** The host may be left out, as in http://:8080/ready. */
function parseHealthUrl(text: string): void {
  const field = "spec.health.http_url";
  if (text.length > 2000) throw invalid(field, "is longer than 2000 characters");
  const url = URL.parse(text.replace(/^http:\/\/:/, "http://host:"));
  if (url?.protocol !== "http:" || url.username !== "" || url.password !== "")
    throw invalid(field, "must be an http URL such as http://:8080/ready");
}

/** Absolute, of printable text, without empty, "." and ".." parts. */
function isAbsolute(path: string): boolean {
  if (path === "/") return true;
  if (!path.startsWith("/") || path.length > 4096 || path.includes("\0") || path.includes("\n")) return false;
  return path
    .replace(/\/$/, "")
    .slice(1)
    .split("/")
    .every((part) => part !== "" && part !== "." && part !== "..");
}
