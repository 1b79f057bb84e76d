// What a helper of ours says: one JSON object a line, each with the name of an event.
import type { ChildProcess } from "node:child_process";
import { type FaultCode, fault } from "@aether/contract";
import { killGroup } from "@aether/kit";

/** Every line has an event; what else there is, the reader knows by it. */
export interface HelperLine {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface HelperEvents {
  /** The next line with this event that nobody has taken yet. Rejects when the helper ends first, or says that it failed; with the signal's reason when nobody waits any more. */
  next(event: string, signal?: AbortSignal): Promise<HelperLine>;
  /** Every line that came and was not taken. */
  take(event: string): HelperLine[];
  /** Called with each line as it comes. A line that it does not take for one of ours ends the helper. */
  onLine(listener: (line: HelperLine) => void): void;
  /** Why it ended or failed; undefined while all is well. */
  problem(): string | undefined;
  /** It is gone, and has said all that it had to say. */
  readonly ended: Promise<void>;
}

interface ReadOptions {
  /** What its end is to who waits for it; default TOOL_FAILED. */
  readonly code?: FaultCode;
  /** Of interest only to who listens while it comes. */
  readonly isPassing?: (event: string) => boolean;
}

/** Longer than any line that one says (native/src/report.c). */
const maxLineLength = 64 << 10;

function parse(text: string): HelperLine | undefined {
  try {
    const line: unknown = JSON.parse(text);
    return typeof line === "object" && line !== null && "event" in line ? (line as HelperLine) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param what the helper's name for people
 * @param child leader of its process group; its stderr, where it is a pipe, says why it ended
 */
export function readEvents(
  child: ChildProcess,
  what: string,
  { code = "TOOL_FAILED", isPassing = () => false }: ReadOptions = {},
): HelperEvents {
  const seen: HelperLine[] = [];
  const waiting: { event: string; resolve(line: HelperLine): void; reject(cause: unknown): void }[] = [];
  const listeners: ((line: HelperLine) => void)[] = [];
  const over = Promise.withResolvers<void>();
  let pending = "";
  let said = "";
  let failure: ReturnType<typeof fault> | undefined;

  const fail = (problem: ReturnType<typeof fault>) => {
    failure ??= problem;
    for (const one of waiting.splice(0)) one.reject(failure);
  };
  const hear = (text: string) => {
    const line = parse(text);
    if (line === undefined) throw new Error("it is no event");
    for (const listener of listeners) listener(line);
    if (line.event === "failed") fail(fault(code, `the ${what} failed: ${String(line.reason)}`));
    const index = waiting.findIndex((one) => one.event === line.event);
    if (index >= 0) waiting.splice(index, 1)[0]?.resolve(line);
    else if (!isPassing(line.event)) seen.push(line);
  };
  child.stdin?.on("error", () => child.stdin?.destroy()); // it may have ended by itself
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (pending + chunk).split("\n");
    pending = lines.pop() ?? "";
    try {
      if (pending.length > maxLineLength) throw new Error("a line has no end");
      for (const text of lines) hear(text);
    } catch (cause) {
      // Whatever it is, it is not what we started: an agent must not end for it.
      fail(fault(code, `the ${what} said ${JSON.stringify((lines[0] ?? pending).slice(0, 100))}`, { cause }));
      killGroup(child);
    }
  });
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    said = (said + chunk).slice(-2000);
  });
  child.once("error", (cause) => {
    fail(fault(code === "TOOL_FAILED" ? "TOOL_MISSING" : code, `${what}: ${cause.message}`, { cause }));
    over.resolve();
  });
  child.once("close", (exitCode, signal) => {
    const why = errorOf(said);
    fail(fault(code, why === undefined ? `the ${what} ended with ${signal ?? `code ${exitCode}`}` : `the ${what} ended: ${why}`));
    over.resolve();
  });

  const indexOf = (event: string) => seen.findIndex((line) => line.event === event);
  return {
    next: (event, signal) =>
      new Promise((resolve, reject) => {
        const index = indexOf(event);
        const line = index < 0 ? undefined : seen.splice(index, 1)[0];
        if (line !== undefined) resolve(line);
        else if (failure !== undefined) reject(failure);
        else {
          const one = { event, resolve, reject };
          waiting.push(one);
          signal?.addEventListener("abort", () => {
            const at = waiting.indexOf(one);
            if (at >= 0) waiting.splice(at, 1);
            reject(signal.reason);
          });
        }
      }),
    take(event) {
      const taken: HelperLine[] = [];
      for (let index = indexOf(event); index >= 0; index = indexOf(event)) taken.push(...seen.splice(index, 1));
      return taken;
    },
    onLine: (listener) => void listeners.push(listener),
    problem: () => failure?.message,
    ended: over.promise,
  };
}

/** A helper's last word is one JSON line {"error":…}. */
function errorOf(text: string): string | undefined {
  return /"error":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1];
}
