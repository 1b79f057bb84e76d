// A child process that is kept running: its output goes to a log file, it is started again with a growing pause when it ends, and it
// lives in a session of its own, so that a Ctrl-C at the terminal reaches the supervisor alone.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { backoffMs, type Logger, type Stoppable } from "@aether/kit";
import { endProcess, type ProcessRef, refOf } from "./process.ts";

export interface ChildOptions {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** From SIGTERM to SIGKILL. Default 5 s. */
  readonly graceMs?: number;
  /** Called after each start, so that the process can be recorded. */
  onStart(ref: ProcessRef): void;
  readonly log: Logger;
}

export interface Child extends Stoppable {
  readonly name: string;
  /** How often it ended without being asked. */
  readonly deaths: number;
  readonly current: ProcessRef | undefined;
  /** The last lines that it wrote. */
  tail(lines: number): string;
}

const rotateBytes = 5 << 20;
const backoff = { firstMs: 300, maxMs: 2_000 };
/** Alive for so long, it counts as well: the next death is treated as the first. */
const healedMs = 30_000;

export function startChild(options: ChildOptions): Child {
  const { name, log, logFile } = options;
  let child: ChildProcess | undefined;
  let ref: ProcessRef | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isStopping = false;
  let deaths = 0;
  let streak = 0;

  const launch = () => {
    rotate(logFile);
    const fd = openSync(logFile, "a", 0o600);
    const [file, ...args] = options.command;
    const startedMs = performance.now();
    try {
      child = spawn(file, args, { detached: true, stdio: ["ignore", fd, fd], env: { ...process.env, ...options.environment } });
    } finally {
      closeSync(fd);
    }
    let hasEnded = false;
    const ended = (reason: string) => {
      if (hasEnded) return;
      hasEnded = true;
      ref = undefined;
      if (isStopping) return;
      deaths++;
      streak = performance.now() - startedMs > healedMs ? 0 : streak;
      const pauseMs = backoffMs(backoff, streak++);
      log.warn({ child: name, reason, pauseMs: Math.round(pauseMs) }, "child ended, will be started again");
      timer = setTimeout(launch, pauseMs);
    };
    child.once("error", (cause) => ended(cause.message));
    child.once("exit", (code, signal) => ended(signal ?? `exit ${code}`));
    if (child.pid !== undefined) {
      ref = refOf(child.pid);
      if (ref !== undefined) options.onStart(ref);
    }
  };
  launch();

  return {
    name,
    get deaths() {
      return deaths;
    },
    get current() {
      return ref;
    },
    tail: (lines) => (existsSync(logFile) ? readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n") : ""),
    async stop() {
      isStopping = true;
      clearTimeout(timer);
      const last = ref;
      if (last !== undefined) await endProcess(last, options.graceMs ?? 5_000);
    },
  };
}

function rotate(logFile: string): void {
  mkdirSync(dirname(logFile), { recursive: true });
  if (existsSync(logFile) && statSync(logFile).size > rotateBytes) renameSync(logFile, `${logFile}.1`);
}
