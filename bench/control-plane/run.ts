// One core and a fleet of agents at rest: heartbeats every 5 s, one telemetry sample a second each. How much does it take, what does it cost, and how long
// from a notice to its decision meanwhile? Both engines, one after the other, each with its own baselines in the same run.
//   npm run build && npx node bench/control-plane/run.ts [--agents 10000] [--seconds 30] [--connect 70] [--engines embedded,postgres] [--report FILE]
// Agents are simulated at the wire (real mutual TLS, real gRPC) on the same machine. As many take part as are connected after --connect seconds: the
// report says how many that were. Baselines, on the same kind of database:
//   limit  a bare loop that inserts rows of the same size into a table of the same shape, 500 rows a statement
//   naive  what one would write instead: a fastify handler and an insert for each sample
import { writeFile } from "node:fs/promises";
import { cpus, loadavg, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { startPostgres } from "../../packages/core/dist/testing/postgres-server.js";
import { measureLimit, measureNaive } from "./baselines.ts";
import { percentile, startBenchCore } from "./fleet.ts";
import { report } from "./report.ts";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "10000" },
    seconds: { type: "string", default: "30" },
    connect: { type: "string", default: "70" },
    engines: { type: "string", default: "embedded,postgres" },
    report: { type: "string" },
  },
});
const wanted = Number(values.agents);
const seconds = Number(values.seconds);
export type Row = Awaited<ReturnType<typeof measure>>;

const rows: Row[] = [];
for (const engine of values.engines.split(",")) {
  const row = await measure(engine === "postgres");
  rows.push(row);
  console.log(JSON.stringify(row, null, 2));
}
if (values.report !== undefined) await writeFile(values.report, report(rows, { seconds, wanted }));

async function measure(isPostgres: boolean) {
  const server = isPostgres ? await startPostgres() : undefined;
  try {
    const limit = await measureLimit(await server?.createDatabase());
    const naive = await measureNaive(await server?.createDatabase());
    const startedMs = Date.now();
    const core = await startBenchCore({
      nodeCount: wanted,
      workloadCount: Math.floor(wanted / 2),
      stepMs: 20,
      postgres: await server?.createDatabase(),
      connectMs: Number(values.connect) * 1000,
      // What is measured is the fleet at rest: a node that is late on a loaded machine, or did not get its turn to connect, is not lost for it.
      config: { heartbeat: { intervalMs: 5_000, lostAfterMs: 600_000 }, telemetry: { intervalMs: 1_000 } },
    });
    try {
      return {
        database: isPostgres ? "PostgreSQL" : "embedded",
        connectedMs: Date.now() - startedMs,
        limit,
        naive,
        ...(await atRest(core)),
      };
    } finally {
      await core.stop();
    }
  } finally {
    await server?.stop();
  }
}

async function atRest(core: Awaited<ReturnType<typeof startBenchCore>>) {
  const { agents } = core;
  let said = 0;
  let isOver = false;
  // One loop for the whole fleet, spread over each second: a timer for each agent would be most of the simulator's work.
  const speaking = (async () => {
    const beganMs = performance.now();
    for (let slice = 0; !isOver; slice++) {
      for (let i = slice % 20; i < agents.length; i += 20) {
        agents[i]?.telemetry();
        said++;
        if ((Math.floor(slice / 20) + i) % 5 === 0) agents[i]?.heartbeat();
      }
      const waitMs = beganMs + (slice + 1) * 50 - performance.now();
      await new Promise((resolve) => setTimeout(resolve, Math.max(1, waitMs)));
    }
  })();
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const look = async () => ({ ...core.usage(), ...(await samples(core)), said, own: process.cpuUsage(), atMs: performance.now() });
  const before = await look();
  // A notice every second, of nodes without workloads: what is timed is the way of a signal through a busy core.
  let given = 0;
  const notices = setInterval(() => agents[agents.length - 1 - given++]?.notice(Date.now() + 120_000), 1_000);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  clearInterval(notices);
  const after = await look();
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  isOver = true;
  await speaking;
  const { decisions } = await core.get<{ decisions?: { rule: string; sinceObservedMs?: number; latencyMs?: number }[] }>(
    "/api/v2/decisions?page.pageSize=1000",
  );
  const own = (decisions ?? []).filter(({ rule }) => rule === "nothing-to-move");
  const since = own.map((each) => each.sinceObservedMs ?? each.latencyMs ?? 0);
  const span = (after.atMs - before.atMs) / 1000;
  const withWorkload = Math.min(agents.length, Math.floor(wanted / 2));
  return {
    agents: agents.length,
    /** Each report has a sample of the node, and one of its workload where it has one. */
    reportsSaidPerSecond: Math.round((after.said - before.said) / span),
    samplesPerReport: 1 + withWorkload / Math.max(1, agents.length),
    samplesWrittenPerSecond: Math.round((after.written - before.written) / span),
    samplesLost: after.lost,
    noticesGiven: given,
    noticesDecided: own.length,
    signalToDecisionP50Ms: percentile(since, 0.5),
    signalToDecisionP99Ms: percentile(since, 0.99),
    coreCpus: (after.cpuSeconds - before.cpuSeconds) / span,
    simulatorCpus: (after.own.user + after.own.system - before.own.user - before.own.system) / 1e6 / span,
    coreResidentMiB: Math.round(after.residentBytes / 1_048_576),
    machine: `${cpus().length} x ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, load ${loadavg()[0]?.toFixed(1)}`,
  };
}

async function samples(core: Awaited<ReturnType<typeof startBenchCore>>): Promise<{ written: number; lost: number }> {
  const text = await core.text("/metrics");
  const of = (outcome: string) =>
    Number(new RegExp(`^aether_telemetry_samples_total\\{outcome="${outcome}"\\} (\\d+)`, "m").exec(text)?.[1] ?? 0);
  return { written: of("written"), lost: of("lost") };
}
