// The best rung: packets are kept in a TUN device and replayed in order. No client sees a lost packet, only a pause.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { fault } from "@aether/contract";
import { withDeadline } from "@aether/kit";
import { holdName } from "../host.ts";
import type { Hold, HoldHost } from "./hold.ts";

const maxBytes = 64 << 20;

/** Makes the TUN device that keeps packets for `address`; the process outlives us, until its deadline. */
export async function openQueue(host: HoldHost, workload: string, address: string, deadlineMs: number, signal: AbortSignal): Promise<Hold> {
  const device = holdName(host, workload);
  const args = ["hold", "--device", device, "--address", address, "--deadline-ms", String(deadlineMs), "--max-bytes", String(maxBytes)];
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(host.options.tools.native, args, {
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  const events = createEvents(child);
  await withDeadline("the packet hold to be ready", 5000, () => events.next("ready"), signal);
  return {
    method: "queue",
    route: `${address}/32 dev ${device}`,
    pid: child.pid,
    async release() {
      const released = withDeadline("the packet hold to release", 5000, () => events.next("released"));
      child.stdin.write("release\n");
      const line = await released;
      return { held: line.held ?? 0, replayed: line.replayed ?? 0, dropped: line.dropped ?? 0 };
    },
    quit() {
      if (child.exitCode === null) child.stdin.end("quit\n");
      child.unref();
    },
  };
}

interface HoldLine {
  readonly event: string;
  readonly held?: number;
  readonly replayed?: number;
  readonly dropped?: number;
}

function createEvents(child: ChildProcessByStdio<Writable, Readable, null>): { next(event: string): Promise<HoldLine> } {
  const seen: HoldLine[] = [];
  const waiting: { event: string; resolve(line: HoldLine): void; reject(cause: unknown): void }[] = [];
  let pending = "";
  let ended: unknown;
  child.stdin.on("error", () => child.stdin.destroy()); // it may have ended by its own deadline
  child.stdout.on("data", (chunk: Buffer) => {
    pending += chunk.toString();
    const lines = pending.split("\n");
    pending = lines.pop() ?? "";
    for (const text of lines) {
      const line = JSON.parse(text) as HoldLine;
      const index = waiting.findIndex((one) => one.event === line.event);
      if (index < 0) seen.push(line);
      else waiting.splice(index, 1)[0]?.resolve(line);
    }
  });
  const end = (cause: unknown) => {
    ended = cause;
    for (const one of waiting.splice(0)) one.reject(cause);
  };
  child.once("error", (cause) => end(fault("TOOL_MISSING", `packet hold: ${cause.message}`, { cause })));
  child.once("exit", (code) => end(fault("TOOL_FAILED", `the packet hold ended with code ${code ?? "none"}`)));
  return {
    next: (event) =>
      new Promise((resolve, reject) => {
        const index = seen.findIndex((line) => line.event === event);
        const line = index < 0 ? undefined : seen.splice(index, 1)[0];
        if (line !== undefined) resolve(line);
        else if (ended !== undefined) reject(ended);
        else waiting.push({ event, resolve, reject });
      }),
  };
}
