// A long-lived program of native/ that speaks in JSON lines and has a descriptor of its own for pages.
import { spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { fault } from "@aether/contract";
import { killGroup } from "@aether/kit";
import type { Host } from "../host.ts";

/** What it says: every line has an event; what else there is, the reader knows by it. */
export interface Line {
  readonly event: string;
  readonly [key: string]: unknown;
}

export interface Helper {
  readonly pid: number;
  /** The pages. */
  readonly data: Duplex;
  send(command: string): void;
  /** The next line with this event that nobody has taken yet. Rejects when the program ends first, or says that it failed. */
  next(event: string): Promise<Line>;
  /** Every line that came and was not taken. */
  take(event: string): Line[];
  /** Called with each line as it comes. */
  onLine(listener: (line: Line) => void): void;
  /** Why it ended or failed; undefined while all is well. */
  problem(): string | undefined;
  readonly ended: Promise<void>;
  kill(): void;
  /** This process may end without it. */
  letGo(): void;
}

/** @param command its name and arguments; it finds its pages on descriptor 3. */
export function startHelper(host: Host, command: readonly string[]): Helper {
  const child = spawn(host.options.tools.native, command, { stdio: ["pipe", "pipe", "pipe", "pipe"], detached: true });
  const [input, output, errors, data] = child.stdio;
  if (!(data instanceof Duplex)) throw fault("INTERNAL", "a pipe for pages is one way only");
  const seen: Line[] = [];
  const waiting: { event: string; resolve(line: Line): void; reject(cause: unknown): void }[] = [];
  const listeners: ((line: Line) => void)[] = [];
  let pending = "";
  let said = "";
  let problem: string | undefined;
  const fail = (reason: string) => {
    problem ??= reason;
    for (const one of waiting.splice(0)) one.reject(fault("TRANSFER_FAILED", `memory: ${problem}`));
  };
  for (const stream of [input, data]) stream.on("error", () => stream.destroy());
  output.on("data", (chunk: Buffer) => {
    pending += chunk.toString();
    const lines = pending.split("\n");
    pending = lines.pop() ?? "";
    for (const text of lines) {
      const line = JSON.parse(text) as Line;
      for (const listener of listeners) listener(line);
      if (line.event === "failed") fail(String(line.reason));
      const index = waiting.findIndex((one) => one.event === line.event);
      if (index >= 0) waiting.splice(index, 1)[0]?.resolve(line);
      else if (!isPassing(line)) seen.push(line);
    }
  });
  errors.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2000);
  });
  const ended = new Promise<void>((resolve) => {
    child.once("error", (cause) => {
      fail(cause.message);
      resolve();
    });
    child.once("close", (code, signal) => {
      if (code !== 0) fail(errorOf(said) ?? `${command[0]} ended (${signal ?? `code ${code}`})`);
      else fail(`${command[0]} has ended`);
      resolve();
    });
  });
  const indexOf = (event: string) => seen.findIndex((line) => line.event === event);
  return {
    pid: child.pid ?? 0,
    data,
    send: (text) => input.write(`${text}\n`),
    next: (event) =>
      new Promise((resolve, reject) => {
        const index = indexOf(event);
        const line = index < 0 ? undefined : seen.splice(index, 1)[0];
        if (line !== undefined) resolve(line);
        else if (problem !== undefined) reject(fault("TRANSFER_FAILED", `memory: ${problem}`));
        else waiting.push({ event, resolve, reject });
      }),
    take(event) {
      const taken: Line[] = [];
      for (let index = indexOf(event); index >= 0; index = indexOf(event)) taken.push(...seen.splice(index, 1));
      return taken;
    },
    onLine: (listener) => listeners.push(listener),
    problem: () => problem,
    ended,
    kill: () => killGroup(child),
    letGo: () => child.unref(),
  };
}

/** Of interest only to who listens while it comes. */
const isPassing = ({ event }: Line): boolean => event === "progress" || event === "mark";

/** The program's last word is one JSON line {"error":…}. */
function errorOf(text: string): string | undefined {
  return /"error":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1];
}
