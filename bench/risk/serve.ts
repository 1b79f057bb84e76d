/**
 * Analyses a second over HTTP, on one core: `aether risk serve` in a process of its own, pinned to one core where taskset is there, against
 * the same work without HTTP in one run. Run: node --conditions=@source bench/risk/serve.ts [--seconds 5] [--connections 32]
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import { resolve } from "node:path";
import { analyze, DEFAULT_HAZARD_MODEL, parseAnalyzeRequest } from "@aether/risk";

const option = (name: string, fallback: number): number => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const seconds = option("seconds", 5);
const connections = option("connections", 32);
const port = 39_471;
const bodies = Array.from({ length: 64 }, (_, i) =>
  JSON.stringify({
    spotPriceHistory: Array.from({ length: 60 }, (__, j) => 1 + 0.1 * Math.sin(i + j)),
    rebalanceSignal: i % 17 === 0,
    capacityScore: (i % 10) / 10,
  }),
);

function startServer(): ChildProcess {
  const cli = resolve(import.meta.dirname, "../../packages/cli/bin/aether.mjs");
  const args = [process.execPath, cli, "risk", "serve", "--port", String(port)];
  const canPin = (() => {
    try {
      execFileSync("taskset", ["-c", "0", "true"]);
      return true;
    } catch {
      return false;
    }
  })();
  console.log(canPin ? "server on core 0" : "taskset is missing: the server may use several cores; what is counted is its CPU time");
  const [program = "", ...rest] = canPin ? ["taskset", "-c", "0", ...args] : args;
  return spawn(program, rest, { stdio: "ignore" });
}

/** User and system time of a process, in seconds (100 ticks a second). */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function untilReady(): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const isUp = await fetch(`http://127.0.0.1:${port}/healthz`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (isUp) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error("the server does not answer");
}

async function load(untilMs: number): Promise<number> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  let count = 0;
  const one = (i: number) =>
    new Promise<void>((done, fail) => {
      const body = bodies[i % bodies.length] ?? "";
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      const request = http.request({ agent, port, host: "127.0.0.1", method: "POST", path: "/analyze", headers }, (response) => {
        if (response.statusCode !== 200) fail(new Error(`status ${response.statusCode}`));
        response.resume().on("end", done);
      });
      request.on("error", fail).end(body);
    });
  await Promise.all(
    Array.from({ length: connections }, async (_, i) => {
      while (performance.now() < untilMs) {
        await one(i + count);
        count++;
      }
    }),
  );
  agent.destroy();
  return count;
}

function withoutHttp(forSeconds: number): number {
  const cpu = process.cpuUsage();
  const until = performance.now() + forSeconds * 1000;
  let count = 0;
  while (performance.now() < until) {
    const parsed = parseAnalyzeRequest(JSON.parse(bodies[count % bodies.length] ?? ""));
    if ("request" in parsed) JSON.stringify(analyze(DEFAULT_HAZARD_MODEL, parsed.request));
    count++;
  }
  const used = process.cpuUsage(cpu);
  return count / ((used.user + used.system) / 1e6);
}

const server = startServer();
try {
  await untilReady();
  await load(performance.now() + 2_000);
  const pid = server.pid ?? 0;
  const before = cpuSeconds(pid);
  const startedMs = performance.now();
  const count = await load(startedMs + seconds * 1000);
  const wall = (performance.now() - startedMs) / 1000;
  const used = cpuSeconds(pid) - before;
  withoutHttp(1);
  const bare = withoutHttp(2);
  const perCpu = count / used;
  console.log(
    `over HTTP: ${Math.round(perCpu)} a second of the server's CPU time (${count} in ${wall.toFixed(1)} s of wall time, ${used.toFixed(1)} s of CPU)`,
  );
  console.log(`without HTTP: ${Math.round(bare)} a second of CPU time; HTTP costs ${(bare / perCpu).toFixed(1)} times the analysis`);
} finally {
  server.kill("SIGTERM");
}
