// Launches a workload under its shim (native/): the process that owns its output and its exit code, whatever becomes of us.

import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
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

/**
 * Runs `command`, which starts the workload in the background and leaves its pid in the pid file. `openFile` is given to it as descriptor 3.
 * On failure the answer has event "failed" and what the command said. Throws TOOL_TIMEOUT after `deadlineMs`: everything it started is killed.
 */
export async function launch(
  host: Host,
  workload: string,
  command: readonly string[],
  options: { readonly deadlineMs: number; readonly openFile?: string },
  signal: AbortSignal,
): Promise<Launched> {
  const files = shimFiles(host, workload);
  const args = [
    "shim",
    "--log",
    files.log,
    "--max-log-bytes",
    String(maxLogBytes),
    "--exit-file",
    files.exit,
    "--pid-file",
    files.pid,
    "--",
    ...command,
  ];
  const extra = options.openFile === undefined ? undefined : openSync(options.openFile, "r");
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(host.options.tools.native, args, {
        stdio: ["ignore", "pipe", "pipe", ...(extra === undefined ? [] : [extra])],
        detached: true,
      });
      let out = "";
      let err = "";
      let reason: unknown;
      child.stdout?.on("data", (chunk: Buffer) => {
        out += chunk.toString();
      });
      child.stderr?.on("data", (chunk: Buffer) => {
        err = (err + chunk.toString()).slice(-4096);
      });
      const stop = (why: unknown) => {
        reason = why;
        killGroup(child);
      };
      const timer = setTimeout(
        () => stop(fault("TOOL_TIMEOUT", `${command[0] ?? ""} did not end within ${options.deadlineMs} ms`)),
        options.deadlineMs,
      );
      const abort = () => stop(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      child.once("error", (cause) => reject(fault("TOOL_MISSING", `${host.options.tools.native}: ${cause.message}`, { cause })));
      child.once("close", () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        if (reason !== undefined) return reject(reason);
        const line = out.trim().split("\n").at(-1) ?? "";
        try {
          resolve(launched.parse(JSON.parse(line)));
        } catch (cause) {
          reject(fault("TOOL_FAILED", `the shim ended without a report: ${(err || out).trim().slice(-500)}`, { cause }));
        }
      });
      if (signal.aborted) abort();
    });
  } finally {
    if (extra !== undefined) closeSync(extra);
  }
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
