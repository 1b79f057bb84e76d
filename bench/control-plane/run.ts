// One core and a fleet of agents at rest: heartbeats every 5 s, a sample a second each. How much does it take, what does it cost, and how long from a
// notice to its decision meanwhile? Both engines, one after the other, each with its own baselines in the same run.
//   npm run build && npx node bench/control-plane/run.ts [--agents 10000] [--seconds 30] [--connect 95] [--engines embedded,postgres] [--report FILE]
// Agents are simulated at the wire (real mutual TLS, real gRPC) by this process. As many take part as are connected after --connect seconds: the
// report says how many that were. They measure as often as core asks them to, as agents do. Baselines, on the same kind of database:
//   limit  a bare loop that inserts rows of the same size into a table of the same shape, 500 rows a statement
//   naive  what one would write instead: a fastify handler and an insert for each sample
import "../help.ts";
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { type PostgresServer, startPostgres } from "../../packages/core/dist/testing/postgres-server.js";
import { told, whereNow } from "../where.ts";
import { measureLimit, measureNaive } from "./baselines.ts";
import { type BenchCore, percentile, startBenchCore } from "./fleet.ts";
import { report } from "./report.ts";
import { cpuSecondsOfTree } from "./usage.ts";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "10000" },
    seconds: { type: "string", default: "30" },
    connect: { type: "string", default: "95" },
    engines: { type: "string", default: "embedded,postgres" },
    report: { type: "string" },
  },
});
const wanted = Number(values.agents);
const seconds = Number(values.seconds);
const heartbeatMs = 5_000;
const telemetryMs = 1_000;
const warmUpMs = 20_000;
/** Notices in a second: enough for a percentile. */
const noticesEach = 5;
/** The fleet's heartbeats are spread over this many moments: a timer for each agent would be most of the simulator's work. */
const moments = 100;
export type Row = Awaited<ReturnType<typeof measure>>;

const machine = told(await whereNow());
const rows: Row[] = [];
for (const engine of values.engines.split(",")) {
  const row = await measure(engine === "postgres");
  rows.push(row);
  console.log(JSON.stringify(row, null, 2));
}
if (values.report !== undefined) {
  await writeFile(values.report, report(rows, { seconds, wanted }));
  console.error(`written: ${values.report}`);
}

async function measure(isPostgres: boolean) {
  const say = (what: string) => console.error(`${isPostgres ? "PostgreSQL" : "embedded"}: ${what}`);
  const server = isPostgres ? await startPostgres({ isDurable: true }) : undefined;
  const databaseSeconds = await secondsOf(server);
  try {
    say("baselines, 10 s");
    const limit = await measureLimit({ postgres: await server?.createDatabase(), databaseSeconds });
    const naive = await measureNaive({ postgres: await server?.createDatabase(), databaseSeconds });
    say(`connecting ${wanted} agents, ${values.connect} s at most`);
    const startedMs = Date.now();
    const core = await startBenchCore({
      nodeCount: wanted,
      workloadCount: Math.floor(wanted / 2),
      stepMs: 20,
      postgres: await server?.createDatabase(),
      connectMs: Number(values.connect) * 1000,
      // What is measured is the fleet at rest: a node that is late on a loaded machine, or did not get its turn to connect, is not lost for it.
      config: { heartbeat: { intervalMs: heartbeatMs, lostAfterMs: 600_000 }, telemetry: { intervalMs: telemetryMs } },
    });
    try {
      say(`${core.agents.length} are connected after ${Math.round((Date.now() - startedMs) / 1000)} s; ${seconds} s at rest`);
      const connectedMs = Date.now() - startedMs;
      return { database: isPostgres ? "PostgreSQL" : "embedded", connectedMs, limit, naive, ...(await atRest(core, databaseSeconds)) };
    } finally {
      await core.stop();
    }
  } finally {
    await server?.stop();
  }
}

async function secondsOf(server: PostgresServer | undefined): Promise<() => number> {
  const pid = await server?.pid();
  return pid === undefined ? () => 0 : () => cpuSecondsOfTree(pid);
}

async function atRest(core: BenchCore, databaseSeconds: () => number) {
  const { agents } = core;
  let isOver = false;
  let beats = 0;
  let latestMs = 0;
  const speaking = (async () => {
    const beganMs = performance.now();
    for (let moment = 0; !isOver; moment++) {
      for (let i = moment % moments; i < agents.length; i += moments) {
        agents[i]?.heartbeat();
        beats++;
      }
      const waitMs = beganMs + ((moment + 1) * heartbeatMs) / moments - performance.now();
      latestMs = Math.max(latestMs, -waitMs);
      await new Promise((resolve) => setTimeout(resolve, Math.max(1, waitMs)));
    }
  })();
  await new Promise((resolve) => setTimeout(resolve, warmUpMs));
  latestMs = 0;
  const look = async () => ({
    ...core.usage(),
    ...(await samples(core)),
    said: agents.reduce((sum, { sampleCount }) => sum + sampleCount, 0),
    beats,
    database: databaseSeconds(),
    own: process.cpuUsage(),
    atMs: performance.now(),
  });
  const before = await look();
  // Of nodes without workloads: what is timed is the way of a signal through a busy core.
  const empty = agents.filter(({ workloadCount }) => workloadCount === 0);
  let given = 0;
  const notices = setInterval(() => empty[given++]?.notice(Date.now() + 120_000), 1_000 / noticesEach);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  clearInterval(notices);
  const after = await look();
  const simulatorLateMs = Math.round(latestMs);
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  isOver = true;
  await speaking;
  const { decisions } = await core.get<{ decisions?: { rule: string; sinceObservedMs?: number; latencyMs?: number }[] }>(
    "/api/v2/decisions?page.pageSize=1000",
  );
  const own = (decisions ?? []).filter(({ rule }) => rule === "nothing-to-move");
  const since = own.map((each) => each.sinceObservedMs ?? each.latencyMs ?? 0);
  const span = (after.atMs - before.atMs) / 1000;
  const rate = (key: "said" | "written" | "lost" | "beats" | "cpuSeconds" | "mainThreadSeconds" | "database") =>
    (after[key] - before[key]) / span;
  return {
    agents: agents.length,
    heartbeatsPerSecond: Math.round(rate("beats")),
    /** As core asked at the end; the configured second, or more where it did not keep up. */
    measuredEveryMs: agents[0]?.config.telemetryIntervalMs ?? 0,
    /** Of nodes and of workloads. */
    samplesSaidPerSecond: Math.round(rate("said")),
    samplesWrittenPerSecond: Math.round(rate("written")),
    samplesLostPerSecond: Math.round(rate("lost")),
    /** How late the simulator itself was with heartbeats, at the most. */
    simulatorLateMs,
    noticesGiven: Math.min(given, empty.length),
    noticesDecided: own.length,
    signalToDecisionP50Ms: percentile(since, 0.5),
    signalToDecisionP99Ms: percentile(since, 0.99),
    coreCpus: rate("cpuSeconds"),
    coreMainThreadCpus: rate("mainThreadSeconds"),
    databaseCpus: rate("database"),
    simulatorCpus: (after.own.user + after.own.system - before.own.user - before.own.system) / 1e6 / span,
    coreResidentMiB: Math.round(after.residentBytes / 1_048_576),
    connectionsRefused: core.refused,
    connectCpuSeconds: core.connectCpuSeconds,
    coreResidentAloneMiB: Math.round(core.residentBytesAlone / 1_048_576),
    machine,
  };
}

async function samples(core: BenchCore): Promise<{ written: number; lost: number }> {
  const text = await core.text("/metrics");
  const of = (outcome: string) =>
    Number(new RegExp(`^aether_telemetry_samples_total\\{outcome="${outcome}"\\} (\\d+)`, "m").exec(text)?.[1] ?? 0);
  return { written: of("written"), lost: of("lost") };
}
