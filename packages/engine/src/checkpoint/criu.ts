// criu's command line for our containers. Dump: the cgroup is frozen already and stays so (--leave-running leaves the freezer as it was found), so that
// a rollback is a thaw. Restore: --leave-stopped, so that no instruction runs before the commit. Called directly and not through runc: that costs some
// 280 ms more in the freeze, and cannot keep the source.
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Fault, fault } from "@aether/contract";
import { type RunResult, run } from "@aether/kit";
import type { WorkloadSpec } from "../engine.ts";
import { type Host, namespaceName } from "../host.ts";
import type { WorkloadRecord } from "../record.ts";
import { cgroupDirs, freezerDir, pidsOf } from "../runtime/cgroup.ts";
import { residentBytes } from "../runtime/process.ts";
import { rootfsPaths } from "../runtime/rootfs.ts";
import { type Launched, launch, shimFiles } from "../runtime/shim.ts";
import { explainLog } from "./explain.ts";

/** A hung criu keeps clients waiting: 15 s, and more only for memory that takes longer at 50 MB/s. */
const dumpDeadlineMs = (memoryBytes: number) => 15_000 + memoryBytes / 50_000;
const restoreDeadlineMs = 60_000;

/** criu behind a private /run on a tmpfs, where it keeps what it learnt about the kernel. */
export async function behindPrivateRun(host: Host, cgroups: readonly string[] = []): Promise<string[]> {
  const runDir = join(host.memoryDir, "run");
  await mkdir(runDir, { recursive: true, mode: 0o700 });
  const join_ = cgroups.length === 0 ? [] : ["--cgroup-procs", cgroups.map((dir) => join(dir, "cgroup.procs")).join(":")];
  return [host.options.tools.native, "launch", "--run-dir", runDir, ...join_, "--", host.options.tools.criu];
}

const common = ["-v2", "--tcp-established", "--network-lock", "skip", "--manage-cgroups=ignore", "--file-locks"];

/** External mounts: names that dump and restore agree on. */
const volumesOf = (spec: WorkloadSpec, value: (index: number) => string) =>
  spec.volumes.flatMap((_, index) => ["--external", value(index)]);

/** @param lazy the loopback port of criu's page server; criu says on descriptor 3 when the images without pages are written. */
export async function dumpArguments(
  host: Host,
  record: WorkloadRecord,
  images: string,
  lazy?: { readonly port: number },
): Promise<string[]> {
  const { spec, pid } = record;
  const inode = (await stat(`/run/netns/${namespaceName(host, spec.name)}`)).ino;
  return [
    "dump",
    ...["-t", String(pid), "-D", images, "-o", "dump.log", "--leave-running", "--ghost-limit", "64M"],
    ...[
      "--root",
      rootfsPaths(host, spec.name).mounted,
      "--freeze-cgroup",
      await freezerDir(host, spec.name),
      "--external",
      `net[${inode}]:workload`,
    ],
    ...volumesOf(spec, (index) => `mnt[${spec.volumes[index]?.destination ?? ""}]:volume${index}`),
    ...common,
    ...(lazy === undefined ? [] : ["--lazy-pages", "--address", "127.0.0.1", "--port", String(lazy.port), "--status-fd", "3"]),
  ];
}

/** Dumps a frozen workload into `images`. Throws CHECKPOINT_FAILED with the reason in plain words. */
export async function dump(host: Host, record: WorkloadRecord, images: string, signal: AbortSignal): Promise<RunResult> {
  const [file = "", ...before] = await behindPrivateRun(host);
  const memoryBytes = await residentBytes(await pidsOf(host, record.spec.name));
  try {
    return await run(file, [...before, ...(await dumpArguments(host, record, images))], {
      deadlineMs: dumpDeadlineMs(memoryBytes),
      signal,
    });
  } catch (caught) {
    throw await explained("CHECKPOINT_FAILED", join(images, "dump.log"), caught);
  }
}

export interface RestoreOptions {
  readonly isLazy: boolean;
  /** Names of the pipes in the images: the source's inodes. */
  readonly stdio: { readonly stdout: number; readonly stderr: number };
  readonly isLeftStopped: boolean;
}

/** Restores from `images` under a new shim. Throws RESTORE_FAILED with the reason in plain words. */
export async function restore(
  host: Host,
  spec: WorkloadSpec,
  images: string,
  options: RestoreOptions,
  signal: AbortSignal,
): Promise<Launched> {
  const command = [
    ...(await behindPrivateRun(host, await cgroupDirs(host, spec.name))),
    "restore",
    ...[
      "-d",
      "-D",
      images,
      "-o",
      "restore.log",
      "--pidfile",
      shimFiles(host, spec.name).pid,
      "--root",
      rootfsPaths(host, spec.name).mounted,
    ],
    ...[
      "--inherit-fd",
      "fd[3]:workload",
      "--inherit-fd",
      `fd[1]:pipe:[${options.stdio.stdout}]`,
      "--inherit-fd",
      `fd[2]:pipe:[${options.stdio.stderr}]`,
    ],
    ...volumesOf(spec, (index) => `mnt[volume${index}]:${spec.volumes[index]?.source ?? ""}`),
    ...common,
    ...(options.isLeftStopped ? ["--leave-stopped"] : []),
    ...(options.isLazy ? ["--lazy-pages"] : []),
  ];
  try {
    const done = await launch(
      host,
      spec.name,
      command,
      { deadlineMs: restoreDeadlineMs, openFile: `/run/netns/${namespaceName(host, spec.name)}` },
      signal,
    );
    if (done.event === "launched") return done;
    throw fault("RESTORE_FAILED", `criu restore failed (exit ${done.code}): ${done.stderr ?? ""}`);
  } catch (caught) {
    throw await explained("RESTORE_FAILED", join(images, "restore.log"), caught);
  }
}

/** The fault with the reason that the log gives; a deadline or an abort stays what it is. */
export async function explained(code: "CHECKPOINT_FAILED" | "RESTORE_FAILED", log: string, caught: unknown): Promise<Fault> {
  const problem = Fault.from(caught);
  if (problem.code !== "TOOL_FAILED" && problem.code !== code) return problem;
  const text = await readFile(log, "utf8").catch(() => "");
  const reason = explainLog(text);
  return fault(code, reason.message === "" ? problem.message : reason.message, {
    cause: caught,
    details: { log: reason.lines.join("\n"), stderr: problem.details.stderr ?? "" },
    ...(reason.mend === "" ? {} : { hint: reason.mend }),
  });
}
