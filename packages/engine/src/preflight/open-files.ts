// What a process has open, as /proc shows it. Read at once: there is no disk to wait for, and this runs every half minute for each workload.
import { readdirSync, readlinkSync, statfsSync, statSync } from "node:fs";
import { isErrno } from "@aether/kit";
import { readProc } from "../runtime/process.ts";
import type { OpenFile } from "./descriptors.ts";

export interface Opened {
  readonly files: OpenFile[];
  /** Inodes of its sockets. */
  readonly sockets: ReadonlySet<number>;
}

export async function openedBy(pid: number): Promise<Opened> {
  const mounts = new Set(((await readProc(pid, "mountinfo")) ?? "").split("\n").map((line) => line.split(" ")[0]));
  const files: OpenFile[] = [];
  const sockets = new Set<number>();
  for (const fd of orGone(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
    const path = `/proc/${pid}/fd/${fd}`;
    const link = orGone(() => readlinkSync(path));
    if (link === undefined) continue; // closed meanwhile
    const socket = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    if (socket !== undefined) sockets.add(Number(socket));
    if (socket !== undefined || link.startsWith("pipe:[")) continue;
    const found = link.startsWith("/") ? orGone(() => statSync(path)) : undefined;
    const isDevice = found?.isCharacterDevice() === true || found?.isBlockDevice() === true;
    const rdev = found?.rdev ?? 0;
    const mount =
      link.startsWith("/") && !isDevice ? /^mnt_id:\s*(\d+)$/m.exec((await readProc(pid, `fdinfo/${fd}`)) ?? "")?.[1] : undefined;
    files.push({
      pid,
      fd: Number(fd),
      link,
      bytes: found?.isFile() ? found.size : 0,
      isDevice,
      device: isDevice ? `${(rdev >> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >> 12) & 0xfff00)}` : "",
      isMessageQueue: found !== undefined && !isDevice && orGone(() => statfsSync(path).type) === messageQueues,
      // stdin is /dev/null of the host: criu finds it by its device.
      isMountKnown: isDevice || mounts.has(mount ?? ""),
    });
  }
  return { files, sockets };
}

/** statfs(2): the file system of POSIX message queues (MQUEUE_MAGIC). It need not be mounted where a process can see it. */
const messageQueues = 0x19800202;

function orGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ESRCH", "EACCES")) return undefined;
    throw caught;
  }
}
