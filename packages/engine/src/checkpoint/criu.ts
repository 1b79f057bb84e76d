// criu's command line for our containers. Dump: the cgroup is frozen already and stays so (--leave-running leaves the freezer as it was found), so that
// a rollback is a thaw. Restore: --leave-stopped, so that no instruction runs before the commit. Called directly and not through runc: that costs some
// 280 ms more in the freeze, and cannot keep the source.
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Fault, fault } from "@aether/contract";
import { type RunResult, run, standBy } from "@aether/kit";
import type { WorkloadSpec } from "../engine.ts";
import { type Host, namespaceName } from "../host.ts";
import { watchedBy } from "../preflight/watches.ts";
import type { WorkloadRecord } from "../record.ts";
import { emptyDir, maskedDir } from "../runtime/bundle.ts";
import { cgroupDirs, freezerDir, pidsOf } from "../runtime/cgroup.ts";
import { readProc, residentBytes } from "../runtime/process.ts";
import { rootfsPaths } from "../runtime/rootfs.ts";
import { goFd, type Launched, readyLaunch, shimFiles } from "../runtime/shim.ts";
import { explainLog } from "./explain.ts";

/** A hung criu keeps clients waiting: 15 s, and more only for memory that takes longer at 50 MB/s. */
export const dumpDeadlineMs = (host: Host, memoryBytes: number) => (host.options.limits?.dumpMs ?? 15_000) + memoryBytes / 50_000;
const restoreDeadlineMs = 60_000;

interface BehindOptions {
  readonly cgroups?: readonly string[];
  readonly goFd?: number;
  /** A socket in whose place it gets the descriptor that comes on it. */
  readonly receiveFd?: number;
  /** Where a tracker answers criu's question for pages. */
  readonly answers?: string;
  readonly answersLimits?: boolean;
}

/** What criu itself is told of the descriptor; what runs before it is told otherwise. */
export const waiting = (host: Host, fd: number) => (host.criuWaits ? ["--go-fd", String(fd)] : []);

/** What our patches have taught this criu (native/criu). Asked once. */
export async function criuAbilities(criu: string): Promise<Pick<Host, "criuWaits" | "criuReadsHeld" | "criuInherits" | "criuKeepsOrphan">> {
  const help = await run(criu, ["--help"], { deadlineMs: 10_000, okCodes: [0, 1] }).catch(() => undefined);
  const knows = (option: string) => help?.stdout.includes(option) ?? false;
  return {
    criuWaits: knows("--go-fd"),
    criuReadsHeld: knows("--pages-held"),
    criuInherits: knows("--inherit-memory") && knows("--go-mounts"),
    criuKeepsOrphan: knows("--orphan FILE"),
  };
}

/** Where criu keeps what brings a task back that was running criu's code when criu was killed (native/src/orphan.c). In memory, as the images. */
export const orphanFile = (images: string) => join(images, "orphan");

/** Where a tracker says which pages the dump leaves out. */
export interface HeldPages {
  /** It answers criu's questions there, through seccomp. */
  readonly socket: string;
  /** Written when the workload is frozen, for a criu that reads it. */
  readonly file: string;
}

/**
 * criu behind a private /run on a tmpfs, where it keeps what it learnt about the kernel. With `goFd` it is started ahead: it becomes criu when a byte
 * comes on that descriptor.
 */
export async function behindPrivateRun(
  host: Host,
  { cgroups = [], goFd, receiveFd, answers, answersLimits = false }: BehindOptions = {},
): Promise<[string, ...string[]]> {
  const runDir = join(host.memoryDir, "run");
  await mkdir(runDir, { recursive: true, mode: 0o700 });
  const inCgroups = cgroups.length === 0 ? [] : ["--cgroup-procs", cgroups.map((dir) => join(dir, "cgroup.procs")).join(":")];
  const held = goFd === undefined || host.criuWaits ? [] : ["--go-fd", String(goFd)];
  const received = receiveFd === undefined ? [] : ["--receive-fd", String(receiveFd)];
  const answered = answers === undefined ? [] : ["--page-answers", answers];
  // While criu works, clients wait: it goes before other work of a busy node. What it restores gets the niceness that it had.
  const first = ["--nice", "-10"];
  const limits = answersLimits ? ["--answer-limits", "1"] : [];
  return [
    host.options.tools.native,
    "launch",
    "--run-dir",
    runDir,
    ...inCgroups,
    ...first,
    ...held,
    ...received,
    ...answered,
    ...limits,
    "--",
    host.options.tools.criu,
  ];
}

const common = ["-v2", "--tcp-established", "--network-lock", "skip", "--manage-cgroups=ignore", "--file-locks"];

/** External mounts, by names that dump and restore agree on: volumes, and what masks a folder. */
function mountsOf(spec: WorkloadSpec, value: (name: string, destination: string, source: string | undefined) => string): string[] {
  const volumes = spec.volumes.map((volume, index) => value(`volume${index}`, volume.destination, volume.source));
  return [...volumes, value("masked", maskedDir, undefined)].flatMap((one) => ["--external", one]);
}

/** @param lazy the descriptor on which criu serves pages; it says on descriptor 3 when the images without pages are written. */
export async function dumpArguments(
  host: Host,
  record: WorkloadRecord,
  images: string,
  lazy?: { readonly pagesFd: number },
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
    ...mountsOf(spec, (name, destination) => `mnt[${destination}]:${name}`),
    ...common,
    ...(await watchedBy(await pidsOf(host, spec.name), rootfsPaths(host, spec.name).upper)).paths.flatMap((path) => [
      "--irmap-scan-path",
      path,
    ]),
    ...(host.criuKeepsOrphan ? ["--orphan", orphanFile(images)] : []),
    ...(lazy === undefined ? [] : ["--lazy-pages", "--ps-socket", String(lazy.pagesFd), "--status-fd", "3"]),
  ];
}

/** criu reads the limits of each process. Where this node's root may not (no CAP_SYS_RESOURCE), those of another user's processes are answered from /proc. */
export async function hasOtherUsers(host: Host, workload: string): Promise<boolean> {
  const statuses = await Promise.all((await pidsOf(host, workload)).map((pid) => readProc(pid, "status")));
  return statuses.some((status) => !/^Uid:\t0\t0\t0\t/m.test(status ?? "Uid:\t0\t0\t0\t"));
}

/**
 * A step of criu whose processes are there already and wait for a word. Whoever made it calls `go` or `drop`. A dump that has begun goes to its end or to
 * its deadline, whatever its signal says: a criu without our patches that is killed while it makes a task run its own code kills that task with it (SIGTRAP).
 */
export interface Ready<T> {
  /** Leader of its process group; undefined when it could not be started, which `go` says. */
  readonly pid: number | undefined;
  go(signal: AbortSignal): Promise<T>;
  /** Ends what waits. Safe after `go` and to repeat; a dump that has begun is not touched. */
  drop(): void;
}

/** Makes the dump of a workload into `images` ready; it must be frozen when it goes. `go` throws CHECKPOINT_FAILED with the reason in plain words. */
export async function readyDump(host: Host, record: WorkloadRecord, images: string, held?: HeldPages): Promise<Ready<RunResult>> {
  const answersLimits = await hasOtherUsers(host, record.spec.name);
  const asked = held === undefined || host.criuReadsHeld ? {} : { answers: held.socket };
  const [file, ...before] = await behindPrivateRun(host, { goFd: 0, answersLimits, ...asked });
  const told = held !== undefined && host.criuReadsHeld ? ["--pages-held", held.file] : [];
  // One that waits also says when it is done: to leave takes it some milliseconds more.
  const said = host.criuWaits ? [...waiting(host, 0), "--status-fd", "1"] : [];
  const args = [...before, ...(await dumpArguments(host, record, images)), ...told, ...said];
  const criu = standBy(file, args, { isDoneAtOutput: host.criuWaits });
  let hasBegun = false;
  return {
    pid: criu.pid,
    async go(signal) {
      signal.throwIfAborted();
      hasBegun = true;
      const memoryBytes = await residentBytes(await pidsOf(host, record.spec.name));
      try {
        return await criu.go("\n", { deadlineMs: dumpDeadlineMs(host, memoryBytes) });
      } catch (caught) {
        throw await explained("CHECKPOINT_FAILED", join(images, "dump.log"), caught);
      }
    },
    drop() {
      if (!hasBegun) criu.drop();
    },
  };
}

/** Dumps a frozen workload into `images`. Throws CHECKPOINT_FAILED with the reason in plain words. */
export async function dump(host: Host, record: WorkloadRecord, images: string, signal: AbortSignal): Promise<RunResult> {
  return (await readyDump(host, record, images)).go(signal);
}

export interface RestoreOptions {
  readonly isLazy: boolean;
  /**
   * Somebody writes into criu what its tasks inherit: the socket, by its name in `images`. Where he has nothing, it is lazy. Such a criu stands longer than others: the
   * mounts that it sees are those of when it goes.
   */
  readonly inheritFrom?: string;
  /** Names of the pipes in the images: the source's inodes. */
  readonly stdio: { readonly stdout: number; readonly stderr: number };
  readonly isLeftStopped: boolean;
}

export interface ReadyRestore extends Ready<Launched> {
  /** As `drop`, and waits until nothing of it is left. */
  end(): Promise<void>;
  /** It was killed while it waited. */
  hasEnded(): boolean;
}

/** Makes the restore from `images` under a new shim ready; they must be there when it goes. `go` throws RESTORE_FAILED with the reason in plain words. */
export async function readyRestore(host: Host, spec: WorkloadSpec, images: string, options: RestoreOptions): Promise<ReadyRestore> {
  const files = [
    "-D",
    images,
    "-o",
    "restore.log",
    "--pidfile",
    shimFiles(host, spec.name).pid,
    "--root",
    rootfsPaths(host, spec.name).mounted,
  ];
  const inherited = ["fd[3]:workload", `fd[1]:pipe:[${options.stdio.stdout}]`, `fd[2]:pipe:[${options.stdio.stderr}]`].flatMap((one) => [
    "--inherit-fd",
    one,
  ]);
  const command = [
    ...(await behindPrivateRun(host, { cgroups: await cgroupDirs(host, spec.name), goFd })),
    ...["restore", "-d", ...files, ...inherited],
    ...mountsOf(spec, (name, _, source) => `mnt[${name}]:${source ?? emptyDir(host)}`),
    ...common,
    ...(options.isLeftStopped ? ["--leave-stopped"] : []),
    ...(options.isLazy ? ["--lazy-pages"] : []),
    ...(options.inheritFrom === undefined ? [] : ["--inherit-memory", options.inheritFrom, "--go-mounts", `/proc/${process.pid}/ns/mnt`]),
    ...waiting(host, goFd),
  ];
  const launch = readyLaunch(host, spec.name, command, {
    deadlineMs: restoreDeadlineMs,
    openFile: `/run/netns/${namespaceName(host, spec.name)}`,
  });
  return {
    pid: launch.pid,
    async go(signal) {
      try {
        const done = await launch.go(signal);
        if (done.event === "launched") return done;
        throw fault("RESTORE_FAILED", `criu restore failed (exit ${done.code}): ${done.stderr ?? ""}`, {
          details: { code: String(done.code) },
        });
      } catch (caught) {
        throw await explained("RESTORE_FAILED", join(images, "restore.log"), caught);
      }
    },
    drop: launch.drop,
    end: launch.end,
    hasEnded: launch.hasEnded,
  };
}

/** Restores from `images` under a new shim. Throws RESTORE_FAILED with the reason in plain words. */
export async function restore(
  host: Host,
  spec: WorkloadSpec,
  images: string,
  options: RestoreOptions,
  signal: AbortSignal,
): Promise<Launched> {
  return (await readyRestore(host, spec, images, options)).go(signal);
}

/** As shells count a SIGKILL. */
const killedCode = "137";

/** The fault with the reason that the log gives; a deadline or an abort stays what it is. */
export async function explained(code: "CHECKPOINT_FAILED" | "RESTORE_FAILED", log: string, caught: unknown): Promise<Fault> {
  const problem = Fault.from(caught);
  if (problem.code !== "TOOL_FAILED" && problem.code !== code) return problem;
  if (problem.details.code === killedCode)
    return fault(code, `criu was killed (SIGKILL) while it ${code === "RESTORE_FAILED" ? "restored" : "dumped"}`, {
      cause: caught,
      hint: "When memory runs out the kernel does so: journalctl -k on that node tells. The workload runs on where it was.",
    });
  const text = await readFile(log, "utf8").catch(() => "");
  const reason = explainLog(text);
  return fault(code, reason.message === "" ? problem.message : reason.message, {
    cause: caught,
    details: { log: reason.lines.join("\n"), stderr: problem.details.stderr ?? "" },
    ...(reason.mend === "" ? {} : { hint: reason.mend }),
  });
}
