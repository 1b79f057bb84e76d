// A client in a closed loop, in a process of its own so that nothing else delays it: INCR, wait for the answer, again. Each answer must be
// the last plus one. On SIGTERM it prints one JSON line: what it saw. It is never reconnected: a broken connection is an error, and the end.
import net from "node:net";

const [host = "", port = "6379", pauseMs = "1"] = process.argv.slice(2);
const socket = net.connect({ host, port: Number(port), noDelay: true });
const waits: { atMs: number; ms: number }[] = [];
let last: number | undefined;
let sentAtMs = 0;
let wrongCount = 0;
let error: string | undefined;
let pending = "";

function ask(): void {
  sentAtMs = performance.now();
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
  waits.push({ atMs: performance.timeOrigin + sentAtMs, ms: performance.now() - sentAtMs });
  setTimeout(ask, Number(pauseMs));
});
process.on("SIGTERM", report);

function report(): never {
  const sorted = waits.map((wait) => wait.ms).sort((a, b) => b - a);
  const longest = waits.reduce((a, b) => (b.ms > a.ms ? b : a), { atMs: 0, ms: 0 });
  const after = waits.filter((wait) => wait.atMs > longest.atMs).map((wait) => wait.ms);
  const soonAfter = waits.filter((wait) => wait.atMs > longest.atMs && wait.atMs < longest.atMs + longest.ms + 5000).map((wait) => wait.ms);
  console.log(
    JSON.stringify({
      answerCount: waits.length,
      wrongCount,
      error: error ?? null,
      gapMs: sorted[0] ?? 0,
      secondGapMs: sorted[1] ?? 0,
      worstAfterMs: Math.max(0, ...after),
      worstSoonAfterMs: Math.max(0, ...soonAfter),
      over50MsSoonAfter: soonAfter.filter((ms) => ms > 50).length,
      isAnsweredAfter: after.length > 0,
    }),
  );
  process.exit(0);
}
