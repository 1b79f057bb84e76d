// Writes to a redis at a rate, open loop, and remembers what was acknowledged: on SIGTERM every written key is read back and compared.
//   load.ts HOST KEYS MIB_PER_SECOND     (a page is counted as dirtied by each write: keys are larger than a fifth of a page, and picked at random)
import net from "node:net";

const [host = "", keys = "1", rate = "0"] = process.argv.slice(2);
const socket = net.connect({ host, port: 6379, noDelay: true });
const acknowledged = new Map<number, string>();
/** In order of their answers; what is before `heard` has one. Array.shift() would move all of a million others each time. */
let waiting: [number, string][] = [];
let heard = 0;
let sequence = 0;
let due = 0;
let pending = "";
let expected: string[] | undefined;
let wrongCount = 0;
let checked = 0;

socket.on("error", (cause) => end(cause.message));
socket.on("close", () => end("closed"));
socket.on("data", (chunk: Buffer) => {
  pending += chunk.toString("latin1");
  const lines = pending.split("\r\n");
  pending = lines.pop() ?? "";
  for (const line of lines) {
    if (line.startsWith("$")) continue; // the length of a value that was read back
    const written = waiting[heard++];
    if (expected === undefined && written !== undefined) acknowledged.set(...written);
    else if (expected !== undefined && line !== expected[checked++]) wrongCount++;
  }
  if (heard > 100_000) {
    waiting = waiting.slice(heard);
    heard = 0;
  }
  if (expected !== undefined && checked === expected.length) end(null);
});

const unanswered = () => waiting.length - heard;

const timer = setInterval(() => {
  due += (Number(rate) * 256) / 100;
  if (unanswered() > 50_000) due = 0; // it is frozen: what it could not take is not made up for
  let text = "";
  for (; due >= 1; due--) {
    const key = 1 + Math.floor(Math.random() * Number(keys));
    const value = String(++sequence).padStart(12, "0");
    waiting.push([key, value]);
    text += `SETRANGE k${key} 0 ${value}\r\n`;
  }
  if (text !== "") socket.write(text);
}, 10);

process.on("SIGTERM", () => {
  clearInterval(timer);
  const drained = setInterval(() => {
    if (unanswered() > 0) return;
    clearInterval(drained);
    expected = [...acknowledged.values()];
    if (expected.length === 0) return end(null);
    for (const key of acknowledged.keys()) waiting.push([key, ""]);
    socket.write([...acknowledged.keys()].map((key) => `GETRANGE k${key} 0 11\r\n`).join(""));
  }, 10);
});

function end(error: string | null): never {
  console.log(JSON.stringify({ writeCount: sequence, keyCount: acknowledged.size, wrongCount, error }));
  process.exit(0);
}
