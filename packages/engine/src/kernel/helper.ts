// The program that keeps ours in the kernel (native/src/bpf): a child process, started at the first question. What it cannot do on this kernel
// it says; when it is not there or has died the question fails with a fault, and whoever asked does without. It is started again at a later
// question, the later the more often it died.
import { type ChildProcess, spawn } from "node:child_process";
import { fault } from "@aether/contract";
import { isErrno, type Logger, withDeadline } from "@aether/kit";

export type Answer = Readonly<Record<string, unknown>>;

export interface KernelHelper {
  /** Asks; throws TOOL_MISSING, TOOL_FAILED (refused: the reason is in the message; or it died), DEADLINE_EXCEEDED. */
  ask(words: readonly (string | number)[], deadlineMs?: number): Promise<Answer>;
  /** Its process, undefined while none runs. */
  pid(): number | undefined;
  /** Ends it; what it holds and watches ends with it. */
  stop(): void;
}

interface Life {
  readonly child: ChildProcess;
  readonly waiting: Map<number, { resolve(answer: Answer): void; reject(cause: unknown): void }>;
  readonly startedMs: number;
}

const longestPauseMs = 60_000;
/** One that lived so long is taken to be well: its end counts as the first. */
const wellAfterMs = 60_000;

/** @param path of aether-bpf; it need not be there. */
export function createKernelHelper(path: string, log: Logger): KernelHelper {
  let life: Life | undefined;
  let deaths = 0;
  let notBeforeMs = 0;
  let next = 0;

  function end(ended: Life, cause: unknown): void {
    if (life === ended) {
      life = undefined;
      deaths = performance.now() - ended.startedMs > wellAfterMs ? 1 : deaths + 1;
      notBeforeMs = performance.now() + Math.min(longestPauseMs, 500 * 2 ** deaths);
    }
    for (const one of ended.waiting.values()) one.reject(cause);
    ended.waiting.clear();
  }

  function start(): Life {
    const child = spawn(path, [], { stdio: ["pipe", "pipe", "ignore"], detached: true });
    const started: Life = { child, waiting: new Map(), startedMs: performance.now() };
    child.stdin?.on("error", () => child.stdin?.destroy());
    child.once("error", (cause) => {
      const missing = isErrno(cause, "ENOENT", "EACCES");
      end(started, fault(missing ? "TOOL_MISSING" : "TOOL_FAILED", `${path}: ${missing ? "it is not there" : cause.message}`, { cause }));
    });
    child.once("exit", (code, signal) => {
      if (life === started) log.warn({ code, signal }, "kernel.helper_ended");
      end(started, fault("TOOL_FAILED", `${path} ended (${signal ?? code})`));
    });
    let pending = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      const lines = (pending + chunk.toString()).split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) take(started, line);
    });
    return started;
  }

  function take(from: Life, line: string): void {
    let said: unknown;
    try {
      said = JSON.parse(line);
    } catch {
      log.error({ line: line.slice(0, 200) }, "kernel.helper_nonsense");
      from.child.kill("SIGKILL"); // whatever it holds, it is not what we asked: the next question meets a new one
      return;
    }
    if (typeof said !== "object" || said === null || !("id" in said)) return;
    const one = from.waiting.get(Number(said.id));
    from.waiting.delete(Number(said.id));
    if ("error" in said) one?.reject(fault("TOOL_FAILED", `the kernel helper: ${String(said.error)}`));
    else one?.resolve(said as Answer);
  }

  return {
    async ask(words, deadlineMs = 3000) {
      if (life === undefined && performance.now() < notBeforeMs) throw fault("TOOL_FAILED", `${path} has died; it is started again soon`);
      life ??= start();
      const { child, waiting } = life;
      const id = ++next;
      const asked = withDeadline(`the kernel helper's answer to ${words[0]}`, deadlineMs, () => {
        const answer = new Promise<Answer>((resolve, reject) => waiting.set(id, { resolve, reject }));
        child.stdin?.write(`${[id, ...words].join(" ")}\n`);
        return answer;
      });
      return asked.finally(() => waiting.delete(id));
    },
    pid: () => life?.child.pid,
    stop() {
      const ended = life;
      life = undefined;
      notBeforeMs = Number.POSITIVE_INFINITY;
      ended?.child.stdin?.end();
      ended?.child.unref();
    },
  };
}
