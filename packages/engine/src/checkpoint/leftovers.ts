// What a killed `criu dump` leaves behind. Its tasks come right by themselves (the parasite ends with its socket: seen at 22 moments of a dump), but a
// criu of an earlier life of ours may still run, and a mount that it made for the contents of a tmpfs blocks every later restore.
import { readdir } from "node:fs/promises";
import { run } from "@aether/kit";
import type { Host } from "../host.ts";
import type { WorkloadRecord } from "../record.ts";
import { signalPid } from "../runtime/cgroup.ts";
import { readProc } from "../runtime/process.ts";
import { imagesDir } from "../steps/journal.ts";

/** SIGKILL to every criu that works on this migration's images (or, without one, on any of this host's). */
export async function endOrphanedCriu(host: Host, migrationId?: string): Promise<void> {
  const images = migrationId === undefined ? host.memoryDir : imagesDir(host, migrationId);
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const words = ((await readProc(Number(entry), "cmdline")) ?? "").split("\0");
    if (words[1] === "shim") continue; // it launched a criu once, and is the parent of the workload that came of it
    const isCriu =
      words.some((word) => word.endsWith("/criu")) && words.some((word) => word === "dump" || word === "lazy-pages" || word === "restore");
    if (isCriu && words.some((word) => word === images || word.startsWith(`${images}/`))) signalPid(Number(entry), "SIGKILL");
  }
}

/** Takes `/tmp/cr-tmpfs.*` out of the workload's mount namespace, where a dump was killed while it held one. */
export async function removeDumpMounts(host: Host, record: WorkloadRecord): Promise<void> {
  const pid = record.pid ?? 0;
  const mounts = ((await readProc(pid, "mountinfo")) ?? "").split("\n").map((line) => line.split(" ")[4] ?? "");
  const inside = ["--mount=/proc/%/ns/mnt", "--root=/proc/%/root", "--wd=/proc/%/root"].map((one) => one.replace("%", String(pid)));
  for (const path of mounts.filter((one) => /^\/tmp\/cr-tmpfs\.[A-Za-z0-9]{6}$/.test(one))) {
    host.options.log.warn({ workload: record.spec.name, path }, "checkpoint.leftover_mount");
    await run("/usr/bin/nsenter", [...inside, "umount", path], { deadlineMs: 10_000 });
    await run("/usr/bin/nsenter", [...inside, "rmdir", path], { deadlineMs: 10_000, okCodes: [0, 1] });
  }
}
