// What a `criu dump` of an earlier life of ours leaves behind: it may still run, its TCP connections are in repair mode when it was killed, and a mount
// that it made for the contents of a tmpfs blocks every later restore.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { run, sleep } from "@aether/kit";
import type { Host } from "../host.ts";
import type { WorkloadRecord } from "../record.ts";
import { freezerDir, signalPid } from "../runtime/cgroup.ts";
import { readProc } from "../runtime/process.ts";
import { imagesDir } from "../steps/journal.ts";
import { dumpDeadlineMs, orphanFile } from "./criu.ts";

/**
 * Ends every criu that works on a migration's images, or on any of this host's but of those whose pages may still be needed; and whoever fetches pages for it. A dump is given its time,
 * since a criu that is killed at the wrong moment kills the task that it works on; one that has written everything and only serves pages is not waited for.
 */
export async function endOrphanedCriu(host: Host, which: string | { readonly needed: readonly string[] }): Promise<void> {
  const images = typeof which === "string" ? imagesDir(host, which) : host.memoryDir;
  const spared = typeof which === "string" ? [] : which.needed.map((id) => imagesDir(host, id));
  const endMs = performance.now() + dumpDeadlineMs(host, 0);
  for (;;) {
    const found = (await findCriu(images)).filter(({ words }) => !words.some((word) => spared.includes(word)));
    const dumps = found.filter(({ pid, words }) => {
      const isDumping = words.includes("dump") && !existsSync(join(words[words.indexOf("-D") + 1] ?? "", "inventory.img"));
      if (!isDumping || performance.now() > endMs) signalPid(pid, "SIGKILL");
      return isDumping;
    });
    if (dumps.length === 0 || performance.now() > endMs) return;
    await sleep(5);
  }
}

/** Every process whose command line has a criu on these images, or on some below that folder. */
export async function findCriu(images: string): Promise<{ pid: number; words: string[] }[]> {
  const found = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const words = ((await readProc(Number(entry), "cmdline")) ?? "").split("\0");
    if (words[1] === "shim") continue; // it launched a criu once, and is the parent of the workload that came of it
    const isCriu = words.some((word) => word.endsWith("/criu")) && ["dump", "lazy-pages", "restore"].some((verb) => words.includes(verb));
    if (isCriu && words.some((word) => word === images || word.startsWith(`${images}/`))) found.push({ pid: Number(entry), words });
  }
  return found;
}

/**
 * What a killed dump was just at: a task that ran criu's code goes on with its own, and TCP connections that were read take data again (their peers would get a
 * reset). Before anything else that waits for these processes.
 */
export async function mendTasks(host: Host, record: WorkloadRecord, images: string): Promise<void> {
  const procs = join(await freezerDir(host, record.spec.name), "cgroup.procs");
  const { stdout } = await run(host.options.tools.native, ["mend", "--procs", procs, "--orphan", orphanFile(images)], {
    deadlineMs: 10_000,
  });
  if (!stdout.includes('"tasks":0')) host.options.log.warn({ workload: record.spec.name }, "checkpoint.task_brought_back");
}

/** Takes `/tmp/cr-tmpfs.*` out of the workload's mount namespace, where a dump was killed while it held one. */
export async function removeDumpMounts(host: Host, record: WorkloadRecord): Promise<void> {
  const pid = record.pid ?? 0;
  const mounts = ((await readProc(pid, "mountinfo")) ?? "").split("\n").map((line) => line.split(" ")[4] ?? "");
  const left = mounts.filter((one) => /^\/tmp\/cr-tmpfs\.[A-Za-z0-9]{6}$/.test(one));
  if (left.length === 0) return;
  host.options.log.warn({ workload: record.spec.name, left }, "checkpoint.leftover_mount");
  const who = ["--pid", String(pid), "--start-ticks", String(record.pidStartTicks ?? 0)];
  await run(host.options.tools.native, ["unmount", ...who, "--", ...left], { deadlineMs: 10_000 });
}
