// The best rung: packets are kept in a TUN device and replayed in order. No client sees a lost packet, only a pause.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { connect } from "node:net";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fault } from "@aether/contract";
import { withDeadline } from "@aether/kit";
import { z } from "zod";
import { holdName } from "../host.ts";
import { readEvents } from "../runtime/events.ts";
import type { Held, Hold, HoldHost } from "./hold.ts";

const maxBytes = 64 << 20;

/** Makes the TUN device that keeps packets for `address`; the process outlives us, until its deadline. */
export async function openQueue(host: HoldHost, workload: string, address: string, deadlineMs: number, signal: AbortSignal): Promise<Hold> {
  const device = holdName(host, workload);
  const args = ["hold", "--device", device, "--address", address, "--deadline-ms", String(deadlineMs), "--max-bytes", String(maxBytes)];
  if (host.memoryDir !== undefined) args.push("--control", controlPath(host.memoryDir, host, workload));
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(host.options.tools.native, args, {
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  const events = readEvents(child, "packet hold");
  await withDeadline("the packet hold to be ready", 5000, () => events.next("ready"), signal);
  return {
    method: "queue",
    route: `${address}/32 dev ${device}`,
    pid: child.pid,
    // Its route is what leads packets to it; where it has been killed meanwhile there is no device that a route could lead to.
    async begin() {
      const problem = events.problem();
      if (problem !== undefined) throw fault("TOOL_FAILED", problem);
    },
    async release() {
      const released = withDeadline("the packet hold to release", 5000, () => events.next("released"));
      child.stdin.write("release\n");
      const line = await released;
      return { held: Number(line.held ?? 0), replayed: Number(line.replayed ?? 0), dropped: Number(line.dropped ?? 0) };
    },
    extend: () => void child.stdin.write("extend\n"),
    quit() {
      if (child.exitCode === null) child.stdin.end("quit\n");
      child.unref();
    },
  };
}

/** Beside criu's private /run: a unix socket's path may have 107 characters. */
const controlPath = (memoryDir: string, host: HoldHost, workload: string) => join(memoryDir, "run", `${holdName(host, workload)}.hold`);

/**
 * Releases what a queue of an earlier life of this process keeps, and ends it. Undefined when there is none any more: then nobody knows what
 * became of the packets.
 */
export async function releaseLeftQueue(host: HoldHost & { readonly memoryDir: string }, workload: string): Promise<Held | undefined> {
  const socket = connect(controlPath(host.memoryDir, host, workload));
  try {
    const line = await withDeadline(
      "the packet hold to release",
      5000,
      () =>
        new Promise<string>((resolve, reject) => {
          let text = "";
          socket.once("error", reject);
          socket.once("close", () => reject(fault("TOOL_FAILED", "the packet hold has ended")));
          socket.on("data", (chunk: Buffer) => {
            text += chunk.toString();
            if (text.includes("\n")) resolve(text);
          });
          socket.write("release\n");
        }),
    );
    socket.end("quit\n");
    return heldLine.parse(JSON.parse(line));
  } catch (caught) {
    host.options.log.warn({ err: caught, workload }, "hold.lost");
    socket.destroy();
    return undefined;
  }
}

const heldLine = z.object({ held: z.number(), replayed: z.number(), dropped: z.number() });
