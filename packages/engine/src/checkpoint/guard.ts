// The source's freeze is watched by a process of its own (native/src/guard.c): when this agent dies or hangs in it, the workload runs again at once and not
// only when the agent is back. It is let go before the freeze is reported to anybody; what it has let run is never reported as frozen,
// so nobody can commit a move of it.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { killGroup, withDeadline, writeFileAtomic } from "@aether/kit";
import { type Host, migrationDir } from "../host.ts";
import { leadHereLines } from "../network/workload-network.ts";
import type { WorkloadRecord } from "../record.ts";
import { freezerDir, signalPid } from "../runtime/cgroup.ts";
import { readEvents } from "../runtime/events.ts";
import { readProc } from "../runtime/process.ts";
import { dumpDeadlineMs, orphanFile } from "./criu.ts";

export interface Guard {
  readonly pid: number;
  /** Right before criu is told to begin: from here on it is given its time, until then it may be killed at once. */
  dumping(): void;
  /** The dump is over: what is left of criu may be killed at once. */
  dumped(): void;
  /** From here on the workload stays as it is, whatever becomes of us. Throws STEP_INTERRUPTED when the guard has let it run, or is gone. */
  disarm(): Promise<void>;
  /** It ends, whatever it was about to do. Safe after `disarm`. */
  end(): Promise<void>;
}

const pingMs = 1000;
/** A garbage collection or a busy machine holds an agent up for a moment, not for so long. */
const longestSilenceMs = 10_000;

/** @param criuPid leader of the process group that dumps into `images`: its end is waited for before the workload runs again */
export async function armGuard(host: Host, migrationId: string, record: WorkloadRecord, images: string, criuPid: number): Promise<Guard> {
  const { name, address } = record.spec;
  const routes = join(migrationDir(host, migrationId), "lead-home.batch");
  await writeFileAtomic(routes, `${leadHereLines(host, name, address).join("\n")}\n`);
  const dir = await freezerDir(host, name);
  const isV1 = existsSync(join(dir, "freezer.state"));
  const freezer = [
    "--procs",
    join(dir, "cgroup.procs"),
    "--freezer",
    join(dir, isV1 ? "freezer.state" : "cgroup.freeze"),
    "--thaw",
    isV1 ? "THAWED" : "0",
  ];
  const silenceMs = host.options.limits?.silenceMs ?? longestSilenceMs;
  const args = [
    "guard",
    ...freezer,
    "--silence-ms",
    String(silenceMs),
    "--group",
    String(criuPid),
    "--group-ms",
    String(dumpDeadlineMs(host, 0)),
    "--orphan",
    orphanFile(images),
  ];
  const child = spawn(host.options.tools.native, [...args, "--", host.options.tools.ip, "-batch", routes], {
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  const events = readEvents(child, "guard of the freeze");
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const pings = setInterval(() => child.stdin.write("ping\n"), Math.min(pingMs, silenceMs / 3));
  pings.unref();
  const stopPings = () => clearInterval(pings);
  child.once("close", stopPings);
  try {
    await withDeadline("the guard of the freeze to be there", 5000, () => events.next("armed"));
  } catch (caught) {
    stopPings();
    killGroup(child);
    throw caught;
  }
  return {
    pid: child.pid ?? 0,
    dumping: () => void child.stdin.write("dumping\n"),
    dumped: () => void child.stdin.write("done\n"),
    async disarm() {
      stopPings();
      child.stdin.end("disarm\n");
      await withDeadline("the guard of the freeze to let go", 5000, () => events.next("disarmed")).catch((cause: unknown) => {
        const { signalCode } = child;
        const why =
          signalCode === null ? "it was frozen for too long without a sign of life" : `the guard of its freeze was killed (${signalCode})`;
        throw fault(signalCode === null ? "STEP_INTERRUPTED" : "TOOL_FAILED", `${name} runs again: ${why}`, { cause });
      });
    },
    async end() {
      stopPings();
      killGroup(child);
      await closed;
    },
  };
}

/** Ends a guard of an earlier life of this process, if that pid still is one. */
export async function endGuard(pid: number): Promise<void> {
  const command = await readProc(pid, "cmdline");
  if (command?.includes("\0guard\0")) signalPid(pid, "SIGKILL");
}
