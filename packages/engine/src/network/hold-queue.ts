// The best rung: packets are kept in a TUN device and replayed in order. No client sees a lost packet, only a pause.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { withDeadline } from "@aether/kit";
import { holdName } from "../host.ts";
import { readEvents } from "../runtime/events.ts";
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
  const events = readEvents(child, "packet hold");
  await withDeadline("the packet hold to be ready", 5000, () => events.next("ready"), signal);
  return {
    method: "queue",
    route: `${address}/32 dev ${device}`,
    pid: child.pid,
    async release() {
      const released = withDeadline("the packet hold to release", 5000, () => events.next("released"));
      child.stdin.write("release\n");
      const line = await released;
      return { held: Number(line.held ?? 0), replayed: Number(line.replayed ?? 0), dropped: Number(line.dropped ?? 0) };
    },
    quit() {
      if (child.exitCode === null) child.stdin.end("quit\n");
      child.unref();
    },
  };
}
