// One core and a fleet of agents at rest: heartbeats every 5 s, one telemetry sample a second each. How much does it take, what does it cost, and how long
// from a notice to its decision meanwhile?
//   npm run build && npx node bench/control-plane/run.ts [--agents 10000] [--seconds 120] [--postgres] [--out FILE]
// Agents are simulated at the wire (real mutual TLS, real gRPC). Baselines, in the same run and on the same database engine:
//   limit  a bare loop that inserts rows of the same size into a table of the same shape, several rows a statement (and COPY, on PostgreSQL)
//   naive  what one would write instead: a fastify handler and an insert for each sample
import { writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { startPostgres } from "../../packages/core/dist/testing/postgres-server.js";
import { measureLimit, measureNaive } from "./baselines.ts";
import { percentile, startBenchCore } from "./fleet.ts";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "10000" },
    seconds: { type: "string", default: "120" },
    postgres: { type: "boolean", default: false },
    out: { type: "string" },
  },
});
const agentCount = Number(values.agents);
const seconds = Number(values.seconds);
const server = values.postgres ? await startPostgres() : undefined;
const limit = await measureLimit(await server?.createDatabase());
const naive = await measureNaive(await server?.createDatabase());
const startedMs = Date.now();
const core = await startBenchCore({
  nodeCount: agentCount,
  workloadCount: Math.floor(agentCount / 2),
  stepMs: 20,
  postgres: await server?.createDatabase(),
  // What is measured is the fleet at rest: a node that is late on a loaded machine is not lost for it.
  config: { heartbeat: { intervalMs: 5_000, lostAfterMs: 60_000 }, telemetry: { intervalMs: 1_000 } },
});
const connectedMs = Date.now() - startedMs;

try {
  let sent = 0;
  const timers = core.agents.map((agent, i) => {
    let tick = i;
    return setInterval(() => {
      agent.telemetry();
      sent++;
      if (++tick % 5 === 0) agent.heartbeat();
    }, 1_000);
  });
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const before = { ...core.usage(), sent, atMs: Date.now() };
  // Notices all along, one every second, of nodes without workloads: what is timed is the way of a signal through a busy core.
  let given = 0;
  const notices = setInterval(() => core.agents[agentCount - 1 - given++]?.notice(Date.now() + 120_000), 1_000);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  clearInterval(notices);
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const after = { ...core.usage(), sent, atMs: Date.now() };
  for (const timer of timers) clearInterval(timer);
  const { decisions } = await core.get<{ decisions?: { sinceObservedMs?: number; latencyMs?: number }[] }>(
    "/api/v2/decisions?page.pageSize=1000",
  );
  const since = (decisions ?? []).map((each) => each.sinceObservedMs ?? each.latencyMs ?? 0);
  const spanSeconds = (after.atMs - before.atMs) / 1000;
  const rate = (after.sent - before.sent) / spanSeconds;
  const row = {
    database: values.postgres ? "PostgreSQL" : "embedded",
    agents: agentCount,
    connectedMs,
    samplesPerSecond: Math.round(rate),
    ofLimit: rate / limit.rowsPerSecond,
    ofNaive: rate / naive.rowsPerSecond,
    limit,
    naive,
    noticesGiven: given,
    noticesDecided: since.length,
    signalToDecisionP50Ms: percentile(since, 0.5),
    signalToDecisionP99Ms: percentile(since, 0.99),
    coreCpuFraction: (after.cpuSeconds - before.cpuSeconds) / spanSeconds,
    coreResidentMiB: Math.round(after.residentBytes / 1_048_576),
    machine: `${cpus().length} x ${cpus()[0]?.model}, load ${loadavg()[0]?.toFixed(1)}`,
  };
  console.log(JSON.stringify(row, null, 2));
  if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(row, null, 2)}\n`);
} finally {
  await core.stop();
  await server?.stop();
}
