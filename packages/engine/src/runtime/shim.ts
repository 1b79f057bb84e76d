// Launches a workload under its shim (native/): the process that owns its output and its exit code, whatever becomes of us.

import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { Writable } from "node:stream";
import { fault } from "@aether/contract";
import { killGroup } from "@aether/kit";
import { z } from "zod";
import { type Host, workloadDir } from "../host.ts";

const launched = z.object({
  event: z.enum(["launched", "failed"]),
  code: z.number(),
  pid: z.number(),
  shimPid: z.number(),
  stdoutInode: z.number(),
  stderrInode: z.number(),
  stderr: z.string().optional(),
});
export type Launched = z.infer<typeof launched>;

const maxLogBytes = 16 << 20;

export const shimFiles = (host: Host, workload: string) => {
  const dir = workloadDir(host, workload);
  return { log: join(dir, "output.log"), exit: join(dir, "exit.json"), pid: join(dir, "init.pid") };
};

/** The descriptor on which a command that is made ready waits for its byte. */
export const goFd = 4;

interface LaunchOptions {
  readonly deadlineMs: number;
  /** Given to the command as descriptor 3. */
  readonly openFile?: string;
}

/**
 * Runs `command`, which starts the workload in the background and leaves its pid in the pid file.
 * On failure the answer has event "failed" and what the command said. Throws TOOL_TIMEOUT after `deadlineMs`: everything it started is killed.
 */
export function launch(
  host: Host,
  workload: string,
  command: readonly string[],
  options: LaunchOptions,
  signal: AbortSignal,
): Promise<Launched> {
  return readyLaunch(host, workload, command, options).go(signal);
}

/** As `launch`, in two parts: the shim and the command are started here, and a command that knows how (`aether-native launch --go-fd`) waits for `go`. */
export function readyLaunch(host: Host, workload: string, command: readonly string[], { deadlineMs, openFile }: LaunchOptions) {
  const files = shimFiles(host, workload);
  const paths = ["--log", files.log, "--max-log-bytes", String(maxLogBytes), "--exit-file", files.exit, "--pid-file", files.pid];
  const extra = openFile === undefined ? undefined : openSync(openFile, "r");
  const child = spawn(host.options.tools.native, ["shim", ...paths, "--", ...command], {
    stdio: ["ignore", "pipe", "pipe", extra ?? "ignore", "pipe"],
    detached: true,
  });
  if (extra !== undefined) closeSync(extra);
  const gate = child.stdio[goFd];
  gate?.on("error", () => gate.destroy()); // the command may have ended
  let out = "";
  let err = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    err = (err + chunk.toString()).slice(-4096);
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.once("error", (cause) => reject(fault("TOOL_MISSING", `${host.options.tools.native}: ${cause.message}`, { cause })));
    child.once("close", () => resolve());
  });
  ended.catch(() => undefined); // heard by `go`, which may never come

  return {
    pid: child.pid,
    /** Once. */
    async go(signal: AbortSignal): Promise<Launched> {
      let reason: unknown;
      const stop = (why: unknown) => {
        reason = why;
        killGroup(child);
      };
      const timer = setTimeout(() => stop(fault("TOOL_TIMEOUT", `${command[0] ?? ""} did not end within ${deadlineMs} ms`)), deadlineMs);
      const abort = () => stop(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      if (signal.aborted) abort();
      else if (gate instanceof Writable) gate.end("\n");
      try {
        await ended;
      } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
      }
      if (reason !== undefined) throw reason;
      const line = out.trim().split("\n").at(-1) ?? "";
      try {
        return launched.parse(JSON.parse(line));
      } catch (cause) {
        throw fault("TOOL_FAILED", `the shim ended without a report: ${(err || out).trim().slice(-500)}`, { cause });
      }
    },
    /** Ends what waits, or what was begun. Safe to repeat; a workload that was launched is not touched. */
    drop: () => killGroup(child),
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    /** As `drop`; the back of the shim has the caller's standard error open until it has killed what it started. */
    async end() {
      killGroup(child);
      await ended.catch(() => undefined);
    },
  };
}

const maxTailBytes = 256 << 10;

/** The end of the workload's output, at most 256 KiB. */
export async function outputTail(host: Host, workload: string): Promise<Uint8Array> {
  const file = await open(shimFiles(host, workload).log, "r").catch(() => undefined);
  if (file === undefined) return Buffer.alloc(0);
  try {
    const { size } = await file.stat();
    const length = Math.min(size, maxTailBytes);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer;
  } finally {
    await file.close();
  }
}
