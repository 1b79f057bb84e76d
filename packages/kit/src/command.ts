// Calls other programs: argv arrays only, a deadline always, its own process group, and the whole group killed when the deadline is over.
// criu, for one, never returns from some failures; a call without a deadline would hang a migration for ever.
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fault } from "@aether/contract";

export interface RunOptions {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  /** Added to our own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** `env` is all that the program gets: ours may hold secrets, and what it runs may be somebody else's. */
  readonly isEnvWhole?: boolean;
  /** Exit codes that are not failures. Default [0]. */
  readonly okCodes?: readonly number[];
  /** Kept of each stream, bytes from its end. Default 1 MiB. */
  readonly maxOutputBytes?: number;
  /** Its first output says that it has done its work: its end, which may take a moment, is not waited for. */
  readonly isDoneAtOutput?: boolean;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

/**
 * Runs a program to its end, and its output to its end or to one second later. Throws TOOL_MISSING (no such program), TOOL_TIMEOUT (killed at the deadline), TOOL_FAILED (another exit
 * code; the last lines of its stderr are in the message), or the signal's reason.
 */
export async function run(file: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  options.signal?.throwIfAborted(); // nothing is begun that nobody wants any more
  return start(file, args, options).finish(options.input ?? "", options);
}

/** A program that has been started and waits for its input, so that when it counts only a write is left to do. */
export interface StandBy {
  /** Leader of a process group of its own; undefined when it could not be started, which `go` says. */
  readonly pid: number | undefined;
  /** Gives it its input and waits for its end, as `run` does. The deadline begins here. Once. */
  go(input: string | Uint8Array, options: Pick<RunOptions, "deadlineMs" | "signal">): Promise<RunResult>;
  /** Kills it, whether or not it has begun. Safe to repeat. */
  drop(): void;
}

/** Starts a program that does nothing before it has read its input. Whoever starts it calls `go` or `drop`; it sees the end of its input when we die. */
export function standBy(
  file: string,
  args: readonly string[],
  options: Pick<RunOptions, "env" | "okCodes" | "maxOutputBytes" | "isDoneAtOutput"> = {},
): StandBy {
  const { child, finish } = start(file, args, options);
  return { pid: child.pid, go: finish, drop: () => killGroup(child) };
}

type Begun = {
  readonly child: ChildProcess;
  finish(input: string | Uint8Array, options: Pick<RunOptions, "deadlineMs" | "signal">): Promise<RunResult>;
};

function start(file: string, args: readonly string[], options: Omit<RunOptions, "deadlineMs" | "signal" | "input">): Begun {
  const child = spawn(file, args, {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: { ...(options.isEnvWhole ? {} : process.env), ...options.env } }),
  } satisfies SpawnOptions);
  const limit = options.maxOutputBytes ?? 1 << 20;
  const stdout = keepEnd(child.stdout, limit);
  const stderr = keepEnd(child.stderr, limit);
  child.stdin.on("error", () => child.stdin.destroy()); // the program may end without reading its input
  const exit = exitOf(file, child, options);
  exit.catch(() => undefined); // heard by `finish`, which may come later or never
  const spoke = new Promise<number>((resolve) => {
    if (options.isDoneAtOutput) child.stdout.once("data", () => resolve(0));
  });
  return {
    child,
    async finish(input, { deadlineMs, signal }) {
      const startedMs = performance.now();
      let ended: "timeout" | "aborted" | undefined;
      const timer = setTimeout(() => {
        ended = "timeout";
        killGroup(child);
      }, deadlineMs);
      const abort = () => {
        ended = "aborted";
        killGroup(child);
      };
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted) abort();
      else child.stdin.end(input);
      try {
        const code = await Promise.race([exit, spoke]);
        if (ended === "aborted") throw signal?.reason;
        const result: RunResult = { code, stdout: stdout(), stderr: stderr(), durationMs: performance.now() - startedMs };
        const details = { command: [file, ...args].join(" "), code: String(code), stderr: result.stderr.slice(-2000) };
        if (ended === "timeout") throw fault("TOOL_TIMEOUT", `${file} ${args[0] ?? ""} did not end within ${deadlineMs} ms`, { details });
        if (!(options.okCodes ?? [0]).includes(code)) {
          throw fault("TOOL_FAILED", `${file} ${args[0] ?? ""} failed (exit ${code}): ${lastLines(result.stderr || result.stdout)}`, {
            details,
          });
        }
        return result;
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      }
    },
  };
}

/** SIGKILL to a detached child's whole process group. Safe when it has ended. */
export function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (caught) {
    if (!isErrno(caught, "ESRCH")) throw caught;
  }
}

/** Is this the given errno of a system call? */
export function isErrno(caught: unknown, ...names: readonly string[]): boolean {
  return (
    typeof caught === "object" && caught !== null && "code" in caught && typeof caught.code === "string" && names.includes(caught.code)
  );
}

/** A daemon that the program left behind may hold its output for ever: what the program itself wrote has been read long before this. */
const lingeringOutputMs = 1000;

function exitOf(file: string, child: ChildProcess, { cwd }: Pick<RunOptions, "cwd">): Promise<number> {
  return new Promise((resolve, reject) => {
    let lingering: NodeJS.Timeout | undefined;
    child.once("error", (cause) => {
      if (isErrno(cause, "ENOENT") && cwd !== undefined && !existsSync(cwd))
        return reject(fault("TOOL_FAILED", `${file}: its working directory ${cwd} does not exist`, { cause }));
      if (isErrno(cause, "ENOENT")) return reject(fault("TOOL_MISSING", `${file} is not installed`, { cause }));
      reject(fault("TOOL_FAILED", `${file}: ${cause.message}`, { cause }));
    });
    child.once("exit", () => {
      lingering = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, lingeringOutputMs);
    });
    child.once("close", (code, signal) => {
      clearTimeout(lingering);
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

function keepEnd(stream: NodeJS.ReadableStream, limit: number): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    while (size - (chunks[0]?.length ?? 0) > limit) size -= chunks.shift()?.length ?? 0;
  });
  return () =>
    Buffer.concat(chunks)
      .subarray(Math.max(0, size - limit))
      .toString("utf8");
}

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-5).join(" | ").slice(-800) || "no output";
}
