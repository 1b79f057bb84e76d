// `criu dump --lazy-pages`: writes the images without pages, says so on a descriptor, and goes on as a page server until the target has every page.
import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { Duplex, Readable } from "node:stream";
import { fault } from "@aether/contract";
import { killGroup, withDeadline } from "@aether/kit";
import type { Host } from "../host.ts";
import type { WorkloadRecord } from "../record.ts";
import { freeze } from "../runtime/cgroup.ts";
import { behindPrivateRun, dumpArguments, explained, hasOtherUsers, type Ready, waiting } from "./criu.ts";

export interface LazyDump {
  /** Every page was fetched (true), or it ended otherwise (false). */
  readonly ended: Promise<boolean>;
  kill(): void;
}

export interface ReadyLazyDump extends Ready<LazyDump> {
  /** It waits here for the socket on which it will serve pages. Given on, or destroyed. */
  readonly line: Duplex;
}

const pagesFd = 4;

/** Makes it ready. `go` returns when the images are written and pages are served; throws CHECKPOINT_FAILED. */
export async function readyLazyDump(host: Host, record: WorkloadRecord, images: string): Promise<ReadyLazyDump> {
  await mkdir(images, { recursive: true, mode: 0o700 });
  const answersLimits = await hasOtherUsers(host, record.spec.name);
  const [file, ...before] = await behindPrivateRun(host, { goFd: 0, receiveFd: pagesFd, answersLimits });
  const args = [...before, ...(await dumpArguments(host, record, images, { pagesFd })), ...waiting(host, 0)];
  const child = spawn(file, args, { stdio: ["pipe", "ignore", "ignore", "pipe", "pipe"], detached: true });
  const [gate, , , status, line] = child.stdio;
  if (!(line instanceof Duplex)) throw fault("INTERNAL", "a pipe for a descriptor is one way only");
  line.on("error", () => line.destroy());
  gate?.on("error", () => gate.destroy()); // it may have ended
  const ended = new Promise<boolean>((resolve) => {
    child.once("error", () => resolve(false));
    child.once("exit", (code) => resolve(code === 0));
  });
  const written = new Promise<void>((resolve, reject) => {
    if (status instanceof Readable) status.once("data", () => resolve());
    ended.then(() => reject(fault("TOOL_FAILED", "criu dump ended before its images were written")));
  });
  written.catch(() => undefined); // heard by `go`, which may never come
  let hasBegun = false;
  return {
    pid: child.pid,
    line,
    async go(signal) {
      signal.throwIfAborted();
      hasBegun = true;
      gate?.end("\n");
      try {
        await withDeadline("criu dump to write its images", 60_000, () => written);
      } catch (caught) {
        killGroup(child);
        throw await explained("CHECKPOINT_FAILED", `${images}/dump.log`, caught);
      }
      // criu leaves the freezer thawed and holds the tasks by ptrace alone: if it died now, the source would run beside the target.
      await freeze(host, record.spec.name);
      child.unref();
      return { ended, kill: () => killGroup(child) };
    },
    drop() {
      if (!hasBegun) killGroup(child);
    },
  };
}
