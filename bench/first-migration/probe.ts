// A client in a closed loop, in a process of its own so that nothing else delays it: INCR, wait for the answer, again. Each answer must be
// the last plus one. On SIGTERM it prints one JSON line: how long it waited, and when. It is never reconnected: a broken connection is an error, and the end.
import net from "node:net";
import type { Wait } from "./waits.ts";

/** What is printed. `waits` has every answer. */
export interface ProbeReport {
  readonly waits: readonly Wait[];
  readonly wrongCount: number;
  readonly error: string | null;
}

const [host = "", port = "6379", pauseMs = "1"] = process.argv.slice(2);
const socket = net.connect({ host, port: Number(port), noDelay: true });
const waits: Wait[] = [];
let last: number | undefined;
let sentAtMs = 0;
let sentAt = 0;
let wrongCount = 0;
let error: string | undefined;
let pending = "";
let isOver = false;

function ask(): void {
  sentAtMs = Date.now();
  sentAt = performance.now();
  socket.write("*2\r\n$4\r\nINCR\r\n$5\r\nprobe\r\n");
}
socket.on("connect", ask);
socket.on("error", (cause) => {
  error ??= cause.message;
});
socket.on("close", () => {
  error ??= "closed";
  report();
});
socket.on("data", (chunk: Buffer) => {
  pending += chunk.toString("latin1");
  const end = pending.indexOf("\r\n");
  if (end < 0) return;
  const value = Number(pending.slice(1, end));
  pending = pending.slice(end + 2);
  if (last !== undefined && value !== last + 1) wrongCount++;
  last = value;
  waits.push({ atMs: sentAtMs, ms: Math.round((performance.now() - sentAt) * 100) / 100 });
  setTimeout(ask, Number(pauseMs));
});
process.on("SIGTERM", report);

function report(): void {
  if (isOver) return;
  isOver = true;
  const text = JSON.stringify({ waits, wrongCount, error: error ?? null } satisfies ProbeReport);
  // More than a pipe holds: an exit right after would cut it off.
  process.stdout.write(text, () => process.exit(0));
}
