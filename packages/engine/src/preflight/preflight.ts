// Can this workload be moved as it is, and how? Answered while it is healthy, not in the two minutes.
import { readdir, readlink, stat } from "node:fs/promises";
import type { Finding, MigrationMode, PreflightReport, TargetCapabilities } from "../engine.ts";
import type { Host } from "../host.ts";
import { type Abilities, chooseMode } from "../memory/mode.ts";
import { untrackable } from "../memory/pins.ts";
import { tcpTable } from "../network/tcp-table.ts";
import { requireRecord } from "../record.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { readProc, residentBytes } from "../runtime/process.ts";
import { writableBytes } from "../runtime/rootfs.ts";
import { judgeOpenFile, type OpenFile } from "./descriptors.ts";

export async function preflight(
  host: Host,
  workload: string,
  requested: MigrationMode,
  target: TargetCapabilities,
  here: Abilities,
  knownLinkRate: number | undefined,
  signal: AbortSignal,
): Promise<PreflightReport> {
  const record = await requireRecord(host, workload);
  const blockers: Finding[] = [];
  const warnings: Finding[] = [];
  if (record.phase !== "running")
    blockers.push({ code: "NOT_RUNNING", message: `the workload is ${record.phase}`, mend: "Start it.", subject: workload });
  const pids = await pidsOf(host, workload);
  for (const pid of pids) {
    signal.throwIfAborted();
    for (const file of await openFilesOf(pid)) {
      const judged = judgeOpenFile(file);
      blockers.push(...judged.blockers);
      warnings.push(...judged.warnings);
    }
    const tracer = /^TracerPid:\s*(\d+)$/m.exec((await readProc(pid, "status")) ?? "")?.[1];
    if (tracer !== undefined && tracer !== "0")
      blockers.push({
        code: "TRACED",
        message: `it is traced by process ${tracer}`,
        mend: "Detach the debugger.",
        subject: `process ${pid}`,
      });
    const maps = (await readProc(pid, "maps")) ?? "";
    if (maps.includes("anon_inode:[io_uring]") && !blockers.some((one) => one.code === "IO_URING_IN_USE"))
      blockers.push({
        code: "IO_URING_IN_USE",
        message: "an io_uring is mapped",
        mend: "Switch io_uring off in the application.",
        subject: `process ${pid}`,
      });
  }
  const first = pids[0];
  if (first !== undefined) blockers.push(...(await socketFindings(first)));
  const memoryBytes = await residentBytes(pids);
  const files = await writableBytes(host, workload);
  const chosen = chooseMode(
    { requested, memoryBytes, here, canLazyThere: target.lazyPages, untrackable: await untrackable(pids), knownLinkRate },
    blockers,
  );
  if (record.spec.volumes.some((volume) => volume.mode === "sync"))
    warnings.push({ code: "SYNC_VOLUME", message: "a sync volume is copied to the same path on the target", mend: "", subject: workload });
  return {
    blockers,
    warnings,
    memoryBytes,
    processCount: pids.length,
    tcpEstablished: first === undefined ? 0 : (await tcpTable(first)).established.length,
    fileBytes: files.bytes,
    chosenMode: chosen.mode,
    modeReason: chosen.reason,
    forecast: chosen.forecast,
  };
}

async function openFilesOf(pid: number): Promise<OpenFile[]> {
  const mounts = new Set(((await readProc(pid, "mountinfo")) ?? "").split("\n").map((line) => line.split(" ")[0]));
  const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const files: OpenFile[] = [];
  for (const fd of fds) {
    const path = `/proc/${pid}/fd/${fd}`;
    const link = await readlink(path).catch(() => undefined);
    const found = await stat(path).catch(() => undefined);
    const info = (await readProc(pid, `fdinfo/${fd}`)) ?? "";
    if (link === undefined) continue; // closed meanwhile
    const isDevice = found?.isCharacterDevice() === true || found?.isBlockDevice() === true;
    const rdev = found?.rdev ?? 0;
    files.push({
      pid,
      fd: Number(fd),
      link,
      bytes: found?.isFile() ? found.size : 0,
      isDevice,
      device: isDevice ? `${(rdev >> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >> 12) & 0xfff00)}` : "",
      // stdin is /dev/null of the host: criu finds it by its device.
      isMountKnown: isDevice || mounts.has(/^mnt_id:\s*(\d+)$/m.exec(info)?.[1] ?? ""),
    });
  }
  return files;
}

/** Sockets of kinds that criu has no image for. */
async function socketFindings(pid: number): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const [file, name] of [
    ["raw", "raw"],
    ["raw6", "raw"],
    ["sctp/eps", "SCTP"],
    ["dccp", "DCCP"],
  ] as const) {
    const lines = ((await readProc(pid, `net/${file}`)) ?? "").trim().split("\n").slice(1);
    if (lines.length > 0)
      found.push({
        code: "SOCKET_KIND",
        message: `a ${name} socket is open`,
        mend: "It cannot be checkpointed; close it before a move.",
        subject: `network namespace of process ${pid}`,
      });
  }
  return found;
}
