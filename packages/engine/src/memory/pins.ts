// What stands in the way of copying a workload's memory ahead.
import { readdir } from "node:fs/promises";
import { readProc } from "../runtime/process.ts";

/** O_DIRECT, which differs by architecture (include/uapi/asm-generic/fcntl.h, arch/arm64/include/uapi/asm/fcntl.h). */
const directFlag = process.arch === "arm64" ? 0o200000 : 0o40000;
const writeOnly = 1;

/**
 * Why the memory of these processes cannot be copied ahead; undefined where it can.
 * @param isAnswered criu is under a filter of ours while it dumps (docs/decisions/0015-answered-questions.md), as one without our patches is
 */
export async function untrackable(pids: readonly number[], isAnswered: boolean): Promise<string | undefined> {
  for (const pid of pids) {
    // The kernel shows a filter to nobody who is under one.
    if (isAnswered && /^Seccomp:\s*2$/m.test((await readProc(pid, "status")) ?? ""))
      return `process ${pid} has a seccomp filter of its own, which criu cannot read while its questions are answered`;
    // Memory that a device writes without going through the process's page tables leaves no mark that a tracker could see.
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const flags = Number.parseInt(/^flags:\s*(\d+)$/m.exec((await readProc(pid, `fdinfo/${fd}`)) ?? "")?.[1] ?? "0", 8);
      if ((flags & directFlag) !== 0 && (flags & 3) !== writeOnly)
        return `process ${pid} reads file descriptor ${fd} with O_DIRECT: devices write into its memory unseen`;
    }
  }
  return undefined;
}
