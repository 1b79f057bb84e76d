// What a process has open that a checkpoint cannot hold, found from /proc while the workload is healthy.
import type { Finding } from "../engine.ts";

export interface OpenFile {
  readonly pid: number;
  readonly fd: number;
  /** Target of /proc/PID/fd/FD. */
  readonly link: string;
  /** Of the target: regular files only. */
  readonly bytes: number;
  readonly isDevice: boolean;
  readonly isMessageQueue: boolean;
  /** "major:minor" of a device. */
  readonly device: string;
  /** Its mount is in the process's mount table. */
  readonly isMountKnown: boolean;
}

/** Devices whose state is nothing (null, zero, full, random, urandom, tty, ptmx) and pseudo terminals of the container's own. */
const harmlessDevices = /^(1:[35789]|5:[02]|136:\d+)$/;
const isGpu = (link: string): boolean => /^\/dev\/(nvidia|dri\/|kfd|accel\/|habanalabs)/.test(link);
const maxGhostBytes = 64 << 20;

/** Without CAP_SYS_ADMIN, which no workload has, 1 is enough (Linux 6.6); programs of the host that have it go on. */
export const noRing =
  "Switch io_uring off in the application; or on each node: sysctl kernel.io_uring_disabled=1, and start the workload anew (Node.js then polls by epoll).";

const finding = (code: string, file: OpenFile, message: string, mend: string): Finding => ({
  code,
  message,
  mend,
  subject: `process ${file.pid}, descriptor ${file.fd} (${file.link})`,
});

/** Blockers and warnings of one open file. */
export function judgeOpenFile(file: OpenFile): { blockers: Finding[]; warnings: Finding[] } {
  const blockers: Finding[] = [];
  const warnings: Finding[] = [];
  if (file.link.startsWith("anon_inode:[io_uring]"))
    blockers.push(finding("IO_URING_IN_USE", file, "an io_uring is open; it cannot be checkpointed", noRing));
  else if (/^anon_inode:\[(perf_event|bpf|fanotify|userfaultfd|kvm)/.test(file.link) || file.link.startsWith("anon_inode:bpf"))
    blockers.push(finding("KERNEL_OBJECT_IN_USE", file, "a kernel object is open that cannot be checkpointed", "Close it before a move."));
  else if (file.link.startsWith("anon_inode:inotify"))
    warnings.push(
      finding(
        "INOTIFY_IN_USE",
        file,
        "inotify watches travel, events that wait in the queue do not",
        "Have the application rescan after a move.",
      ),
    );
  else if (isGpu(file.link))
    blockers.push(
      finding(
        "GPU_IN_USE",
        file,
        "a GPU is open; its memory cannot be checkpointed here",
        "Stop the part that uses the GPU before a move, or keep this workload on on-demand capacity.",
      ),
    );
  else if (file.isDevice && !harmlessDevices.test(file.device))
    blockers.push(
      finding("DEVICE_IN_USE", file, `device ${file.device} is open`, "A device's state cannot travel; close it before a move."),
    );
  else if (file.link.startsWith("/") && file.link.endsWith(" (deleted)") && !file.link.startsWith("/memfd:") && file.bytes > maxGhostBytes)
    blockers.push(
      finding(
        "DELETED_FILE_TOO_LARGE",
        file,
        `a deleted file of ${file.bytes} bytes is still open`,
        "Close or truncate deleted files that are still open.",
      ),
    );
  else if (file.link.startsWith("/") && file.link.endsWith(" (deleted)") && !file.link.startsWith("/memfd:") && file.bytes > 0)
    warnings.push(
      finding(
        "DELETED_FILE_TRAVELS",
        file,
        `a deleted file of ${file.bytes} bytes is still open; it travels inside the freeze`,
        "Nothing has to be done; a smaller file makes a shorter freeze.",
      ),
    );
  else if (file.isMessageQueue)
    blockers.push(
      finding(
        "MQUEUE_IN_USE",
        file,
        "a POSIX message queue is open; it cannot be checkpointed",
        "Close it before a move, or use a unix socket or a pipe.",
      ),
    );
  else if (file.link.startsWith("/") && !file.isMountKnown && !file.link.startsWith("/memfd:") && !file.link.startsWith("/dev/zero"))
    blockers.push(
      finding("FILE_OUTSIDE", file, "a file outside of the container is open", "Start the workload without inherited descriptors."),
    );
  return { blockers, warnings };
}
