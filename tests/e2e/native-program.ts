// What the tests of the native program share: where the program is, namespaces with a prefix of their own, events.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { run, until } from "@aether/kit";
import { beforeEach } from "vitest";

export const native = fileURLToPath(new URL("../../native/build/aether-native", import.meta.url));

/** Why the program cannot be tested here; undefined when it can. `npm test` compiles it first. */
export function missingProgram(): string | undefined {
  return existsSync(native) ? undefined : "native/build/aether-native is not there: make -C native";
}

/** Why packets cannot be held or announced here; undefined when they can. */
export function missingForPackets(): string | undefined {
  if (process.getuid?.() !== 0) return "network namespaces need root";
  if (!existsSync("/dev/net/tun")) return "/dev/net/tun is not there";
  return missingProgram();
}

/** Skips each test of the suite with the reason, where there is one. */
export function skipWhere(missing: string | undefined): void {
  beforeEach((context) => {
    if (missing !== undefined) context.skip(missing);
  });
}

export const ip = (...args: readonly string[]) => run("ip", args, { deadlineMs: 10_000 });

/** Network namespaces of one test file; `remove` takes away what `add` made, also after a failure in between. */
export function createNamespaces() {
  const made: string[] = [];
  return {
    async add(name: string): Promise<string> {
      const full = `aet-${process.pid}-${name}`;
      made.push(full);
      await ip("netns", "add", full);
      await ip("-n", full, "link", "set", "lo", "up");
      return full;
    },
    async remove(): Promise<void> {
      for (const name of made.splice(0)) await run("ip", ["netns", "del", name], { deadlineMs: 10_000, okCodes: [0, 1] });
    },
  };
}

export interface Program {
  readonly child: ChildProcessWithoutNullStreams;
  readonly lines: Record<string, unknown>[];
  /** The first line with this event from index `from` on; DEADLINE_EXCEEDED when there is none within 5 s. */
  event(name: string, from?: number): Promise<Record<string, unknown>>;
  readonly ended: Promise<number | null>;
}

/** Starts something that says JSON lines. */
export function start(file: string, args: readonly string[]): Program {
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] });
  const lines: Record<string, unknown>[] = [];
  let pending = "";
  child.stdout.on("data", (chunk: Buffer) => {
    const parts = (pending + chunk.toString()).split("\n");
    pending = parts.pop() ?? "";
    for (const part of parts) lines.push(JSON.parse(part));
  });
  child.stdin.on("error", () => child.stdin.destroy());
  const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  return {
    child,
    lines,
    ended,
    event: (name, from = 0) => until(`the event ${name}`, 5, 5000, async () => lines.slice(from).find((line) => line.event === name)),
  };
}

/** In a network namespace, without a mount namespace of its own. */
export const inside = (namespace: string, ...command: readonly string[]): [string, string[]] => [
  "nsenter",
  [`--net=/run/netns/${namespace}`, ...command],
];
