// Looks at running processes, whoever started them: what stands in the way of a checkpoint, and what a target must have. Changes nothing and stops nothing.
import type { KnownNeeds } from "@aether/contract";
import type { Finding, HostFacts } from "../engine.ts";
import { readProc } from "../runtime/process.ts";
import { judgeOpenFile, noRing } from "./descriptors.ts";
import { canReadLimitsOfOthers, needsOf } from "./needs.ts";
import { openedBy } from "./open-files.ts";
import { socketKindFindings, unixFindings } from "./sockets.ts";
import { watchedBy } from "./watches.ts";

export interface Inspected {
  readonly blockers: Finding[];
  readonly warnings: Finding[];
  readonly needs: KnownNeeds;
}

/**
 * @param pids all processes that would move together, as this host numbers them
 * @param layer the writable layer of their rootfs, where it is known
 */
export async function inspectProcesses(pids: readonly number[], facts: HostFacts, signal: AbortSignal, layer?: string): Promise<Inspected> {
  const blockers: Finding[] = [];
  const warnings: Finding[] = [];
  const sockets = new Set<number>();
  for (const pid of pids) {
    signal.throwIfAborted();
    const opened = await openedBy(pid);
    for (const inode of opened.sockets) sockets.add(inode);
    for (const file of opened.files) {
      const judged = judgeOpenFile(file);
      blockers.push(...judged.blockers);
      warnings.push(...judged.warnings);
    }
    blockers.push(...(await processFindings(pid, blockers)));
  }
  blockers.push(...(await watchedBy(pids, layer)).blockers);
  const first = pids[0];
  if (first !== undefined) blockers.push(...(await socketKindFindings(first)), ...(await unixFindings(first, sockets, signal)));
  return { blockers, warnings, needs: await needsOf(pids, facts) };
}

async function processFindings(pid: number, before: readonly Finding[]): Promise<Finding[]> {
  const found: Finding[] = [];
  const status = (await readProc(pid, "status")) ?? "";
  const tracer = /^TracerPid:\s*(\d+)$/m.exec(status)?.[1] ?? "0";
  const subject = `process ${pid}`;
  if (tracer !== "0") found.push({ code: "TRACED", message: `it is traced by process ${tracer}`, mend: "Detach the debugger.", subject });
  const uids = /^Uid:\s*(\d+)\s+(\d+)\s+(\d+)/m.exec(status)?.slice(1) ?? [];
  if (uids.some((uid) => Number(uid) !== process.geteuid?.()) && !canReadLimitsOfOthers())
    found.push({
      code: "LIMITS_UNREADABLE",
      message: `it runs as user ${uids[1]}, and the agent lacks CAP_SYS_RESOURCE: criu cannot read its limits`,
      mend: "Give the agent CAP_SYS_RESOURCE (a container needs --cap-add SYS_RESOURCE), or run the workload as root.",
      subject,
    });
  const maps = (await readProc(pid, "maps")) ?? "";
  if (maps.includes("anon_inode:[io_uring]") && !before.some(({ code }) => code === "IO_URING_IN_USE"))
    found.push({ code: "IO_URING_IN_USE", message: "an io_uring is mapped", mend: noRing, subject });
  const device = /\s(\/dev\/(?:nvidia|dri\/|kfd|accel\/)\S*)/.exec(maps)?.[1];
  if (device !== undefined)
    found.push({
      code: "GPU_IN_USE",
      message: `memory of ${device} is mapped`,
      mend: "Stop the part that uses the GPU before a move.",
      subject,
    });
  return found;
}
