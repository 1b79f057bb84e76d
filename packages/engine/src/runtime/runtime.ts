// Workloads of this host: started in runc under a shim, found again after any restart from the record on disk and the kernel.
import { open, readFile, rm, stat } from "node:fs/promises";
import { Fault, fault } from "@aether/contract";
import { isErrno, run, sleep, until } from "@aether/kit";
import type { Runtime, WorkloadSpec, WorkloadStatus } from "../engine.ts";
import { requireReplaceable } from "../files/sync.ts";
import { containerId, type Host } from "../host.ts";
import { ensureImage } from "../image/images.ts";
import { processSettings } from "../image/process.ts";
import { tcpTable } from "../network/tcp-table.ts";
import { announce, leadHere, makeNetwork, removeNetwork } from "../network/workload-network.ts";
import { listRecords, readRecord, removeWorkloadDir, requireRecord, type WorkloadRecord, writeRecord } from "../record.ts";
import { capabilityMask, defaultEnv, writeBundle } from "./bundle.ts";
import { cgroupDirs, killAll, pidsOf, removeCgroups, signalPid } from "./cgroup.ts";
import { clockTicksPerSecond, isAlive, residentBytes, statOf } from "./process.ts";
import { mountRootfs, prepareRootfs, requireExecutable, unmountRootfs } from "./rootfs.ts";
import { launch, shimFiles } from "./shim.ts";

/** An end that nobody asked for is seen after so long. Each look wakes the process, which costs more than the look. */
const lookMs = 1_000;

export const statusOf = (record: WorkloadRecord): WorkloadStatus => ({
  name: record.spec.name,
  epoch: record.epoch,
  phase: record.phase === "starting" ? "stopped" : record.phase === "prepared" ? "restored" : record.phase,
  migrationId: record.migrationId,
  pid: record.pid,
  exitCode: record.exitCode,
  spec: record.spec,
});

const runcRoot = (host: Host) => `${host.options.stateDir}/runc`;

export interface OwnedRuntime extends Runtime {
  stopWatching(): void;
}

export function createRuntime(host: Host): OwnedRuntime {
  const listeners = new Set<(status: WorkloadStatus) => void>();
  const cpu = new Map<string, { ticks: number; atMs: number }>();

  /** The record brought up to what the kernel says: a process that ended by itself is `exited`. */
  async function observe(record: WorkloadRecord): Promise<WorkloadRecord> {
    if (record.phase !== "running" || (await isAlive(record))) return record;
    const exit = await readFile(shimFiles(host, record.spec.name).exit, "utf8").catch(() => "{}");
    const { pid: _pid, pidStartTicks: _ticks, ...rest } = record;
    const exited: WorkloadRecord = {
      ...rest,
      phase: "exited",
      exitCode: Number((JSON.parse(exit) as { exitCode?: number }).exitCode ?? -1),
    };
    const current = await readRecord(host, record.spec.name);
    if (current?.phase !== "running" || current.pid !== record.pid) return current ?? exited; // something else happened meanwhile
    await writeRecord(host, exited);
    for (const listener of listeners) listener(statusOf(exited));
    return exited;
  }

  // Reading every record costs about 2 ms a workload in the agent's interpreting process, so most looks are at the processes alone: at those
  // of the last listing, which comes with every `list` and, where nobody lists, by itself every ten seconds.
  let known: readonly WorkloadRecord[] = [];
  let looks = 0;
  const look = async () => {
    if (looks++ % 10 === 0) known = await listRecords(host);
    await Promise.all(known.map(observe));
  };
  const timer = setInterval(() => {
    look().catch((caught: unknown) => host.options.log.warn({ err: caught }, "runtime.observe"));
  }, lookMs);
  timer.unref();

  return {
    async start(spec, epoch, signal) {
      const existing = await readRecord(host, spec.name);
      if (existing !== undefined) {
        if (existing.epoch > epoch) throw fault("STALE_EPOCH", `${spec.name} is in epoch ${existing.epoch}, not ${epoch}`);
        const now = await observe(existing);
        if (now.phase === "running" && now.epoch === epoch) return statusOf(now);
        if (now.phase === "frozen" || now.phase === "restored" || now.phase === "prepared")
          throw fault("WORKLOAD_RUNNING", `${spec.name} is part of migration ${now.migrationId ?? ""} on this node`);
        if (now.phase === "running") throw fault("WORKLOAD_RUNNING", `${spec.name} runs in epoch ${now.epoch}`);
      }
      await destroy(host, spec.name, spec.address, signal);
      requireReplaceable(host, spec.volumes);
      await checkVolumes(spec);
      await writeRecord(host, { spec: plain(spec), epoch, phase: "starting" });
      try {
        return statusOf(await startFresh(host, spec, epoch, signal));
      } catch (caught) {
        const problem = Fault.from(caught);
        await destroy(host, spec.name, spec.address, AbortSignal.timeout(20_000));
        await writeRecord(host, { spec: plain(spec), epoch, phase: "stopped" });
        throw problem;
      }
    },
    async stop(name, graceMs, signal) {
      const record = await observe(await requireRecord(host, name));
      if (record.phase === "frozen" || record.phase === "restored" || record.phase === "prepared")
        throw fault("MIGRATION_IN_PROGRESS", `${name} is part of migration ${record.migrationId ?? ""}`, {
          details: { migrationId: record.migrationId ?? "" },
        });
      if (record.phase === "running" && record.pid !== undefined) {
        signalPid(record.pid, "SIGTERM");
        const startedMs = performance.now();
        while ((await isAlive(record)) && performance.now() - startedMs < graceMs) await sleep(20, signal);
        await killAll(host, name, signal);
      }
      await tearDown(host, name, record.spec.address);
      const { pid: _pid, pidStartTicks: _ticks, ...rest } = record;
      const stopped: WorkloadRecord = { ...rest, phase: "stopped" };
      await writeRecord(host, stopped);
      return statusOf(stopped);
    },
    async remove(name, signal) {
      const record = await readRecord(host, name);
      await destroy(host, name, record?.spec.address ?? "0.0.0.0", signal);
      await removeWorkloadDir(host, name);
    },
    async list() {
      known = await listRecords(host);
      return Promise.all(known.map(async (record) => statusOf(await observe(record))));
    },
    async usage(name) {
      const pids = await pidsOf(host, name);
      const stats = (await Promise.all(pids.map(statOf))).filter((stat) => stat !== undefined);
      const ticks = stats.reduce((sum, stat) => sum + stat.cpuTicks, 0);
      const atMs = performance.now();
      const before = cpu.get(name);
      cpu.set(name, { ticks, atMs });
      const first = pids[0];
      return {
        memoryBytes: await residentBytes(pids),
        cpuFraction: before === undefined ? 0 : Math.max(0, (ticks - before.ticks) / clockTicksPerSecond / ((atMs - before.atMs) / 1000)),
        processCount: pids.length,
        tcpEstablished: first === undefined ? 0 : (await tcpTable(first)).established.length,
      };
    },
    async locate(name) {
      const pid = known.find(({ spec }) => spec.name === name)?.pid;
      return pid === undefined ? undefined : { pid, cgroupDirs: await cgroupDirs(host, name) };
    },
    logs: (name, options, signal) => followLog(host, name, options, signal),
    async exec(name, argv, timeoutMs, signal) {
      const record = await observe(await requireRecord(host, name));
      if (record.phase !== "running" || record.pid === undefined) throw fault("WORKLOAD_NOT_RUNNING", `${name} is ${record.phase}`);
      // In the workload's cgroups, so that it is frozen, counted and killed with it; with its rights and none of ours, for what runs is a file that
      // the workload may have written.
      const procs = (await cgroupDirs(host, name)).map((dir) => `${dir}/cgroup.procs`).join(":");
      const who = ["--pid", String(record.pid), "--start-ticks", String(record.pidStartTicks ?? 0), "--capabilities", capabilityMask];
      const args = ["enter", ...who, "--cgroup-procs", procs, "--", ...argv];
      const limit = 1 << 20;
      const done = await run(host.options.tools.native, args, {
        deadlineMs: timeoutMs,
        signal,
        env: { ...defaultEnv, ...record.image?.env, ...record.spec.env },
        isEnvWhole: true,
        okCodes: Array.from({ length: 256 }, (_, code) => code),
        maxOutputBytes: limit,
      });
      return {
        exitCode: done.code,
        stdout: Buffer.from(done.stdout),
        stderr: Buffer.from(done.stderr),
        isTruncated: Buffer.byteLength(done.stdout) >= limit || Buffer.byteLength(done.stderr) >= limit,
      };
    },
    onExit(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stopWatching: () => clearInterval(timer),
  };
}

/** A spec as the record keeps it (mutable arrays for the schema). */
export const plain = (spec: WorkloadSpec): WorkloadRecord["spec"] => ({
  ...spec,
  argv: [...spec.argv],
  env: { ...spec.env },
  volumes: spec.volumes.map((volume) => ({ ...volume })),
});

async function startFresh(host: Host, spec: WorkloadSpec, epoch: number, signal: AbortSignal): Promise<WorkloadRecord> {
  const image = spec.rootfs.startsWith("oci:") ? await ensureImage(host, spec.rootfs.slice("oci:".length), signal) : undefined;
  await prepareRootfs(host, spec);
  const root = await mountRootfs(host, spec, image);
  const process = await processSettings(spec, image, root);
  await requireExecutable(spec, process, root);
  await makeNetwork(host, spec.name, spec.address);
  const bundle = await writeBundle(host, spec, process, root);
  const id = containerId(host, spec.name);
  const runc = [host.options.tools.runc, "--root", runcRoot(host)];
  await run(host.options.tools.runc, ["--root", runcRoot(host), "delete", "--force", id], { deadlineMs: 20_000, okCodes: [0, 1], signal });
  const command = [...runc, "run", "--detach", "--bundle", bundle, "--pid-file", shimFiles(host, spec.name).pid, id];
  const done = await launch(host, spec.name, command, { deadlineMs: 30_000 }, signal);
  if (done.event !== "launched") throw fault("WORKLOAD_START_FAILED", `runc: ${(done.stderr ?? "").trim().slice(-500)}`);
  // runc's own bookkeeping is not used any further: a restore could not keep it, so from here on the kernel is asked.
  await rm(`${runcRoot(host)}/${id}`, { recursive: true, force: true });
  await leadHere(host, spec.name, spec.address);
  // Neighbours may still send to the node that had the address before; best effort, and nobody waits for it.
  announce(host, spec.address).catch((caught: unknown) => host.options.log.warn({ err: caught }, "network.announce"));
  const ticks = (await statOf(done.pid))?.startTicks;
  const record: WorkloadRecord = {
    spec: plain(spec),
    epoch,
    phase: "running",
    pid: done.pid,
    ...(ticks === undefined ? {} : { pidStartTicks: ticks }),
    shimPid: done.shimPid,
    stdio: { stdout: done.stdoutInode, stderr: done.stderrInode },
    ...(image === undefined ? {} : { image }),
  };
  await writeRecord(host, record);
  return record;
}

async function checkVolumes(spec: WorkloadSpec): Promise<void> {
  for (const [index, volume] of spec.volumes.entries()) {
    const found = await stat(volume.source).catch((caught: unknown) => {
      if (isErrno(caught, "ENOENT", "ENOTDIR")) return undefined;
      throw caught;
    });
    if (!found?.isDirectory())
      throw fault("VOLUME_INVALID", `${volume.source} is not a directory on this node`, { field: `spec.volumes[${index}].source` });
  }
}

/** Ends the processes and takes away all that the kernel holds for the workload. The folder stays. Safe when there is nothing. */
export async function destroy(host: Host, name: string, address: string, signal: AbortSignal): Promise<void> {
  await killAll(host, name, signal);
  await tearDown(host, name, address);
}

async function tearDown(host: Host, name: string, address: string): Promise<void> {
  await removeNetwork(host, name, address);
  await unmountRootfs(host, name);
  await until("the cgroup to be empty", 10, 5000, () =>
    removeCgroups(host, name).then(
      () => true,
      (caught: unknown) => {
        if (isErrno(caught, "EBUSY")) return undefined;
        throw caught;
      },
    ),
  );
  await rm(`${runcRoot(host)}/${containerId(host, name)}`, { recursive: true, force: true });
}

async function* followLog(
  host: Host,
  name: string,
  options: { follow: boolean; tailLines: number },
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  await requireRecord(host, name);
  const path = shimFiles(host, name).log;
  const older = await readFile(`${path}.1`).catch(() => Buffer.alloc(0));
  const first = await readFile(path).catch(() => Buffer.alloc(0));
  const all = Buffer.concat([older, first]);
  const begin = options.tailLines === 0 ? 0 : tailOffset(all, options.tailLines);
  for (let at = begin; at < all.length; at += 65536) yield all.subarray(at, at + 65536);
  let position = first.length;
  let inode = (await stat(path).catch(() => undefined))?.ino;
  while (options.follow && !signal.aborted) {
    await sleep(150, signal).catch(() => undefined);
    const now = await stat(path).catch(() => undefined);
    if (now === undefined) {
      if ((await readRecord(host, name)) === undefined) return;
      continue;
    }
    if (now.ino !== inode) [inode, position] = [now.ino, 0];
    if (now.size <= position) continue;
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(now.size - position, 1 << 20)), 0, undefined, position);
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  }
}

/** Where the last `lines` lines begin. */
export function tailOffset(bytes: Uint8Array, lines: number): number {
  let left = lines + (bytes.at(-1) === 10 ? 1 : 0);
  for (let at = bytes.length - 1; at >= 0; at--) if (bytes[at] === 10 && --left === 0) return at + 1;
  return 0;
}
