// A wave: many nodes are given notice within one second. How long until every notice is decided, every move planned, every workload moved?
//   npm run build && npx node bench/waves/run.ts [--nodes 1000] [--notices 500] [--engines embedded,postgres] [--postgres] [--report FILE]
// The fleet is simulated at the wire (real TLS, real sessions, no machines), so what is measured is core: intake, decision, plan, orchestration.
// Baseline in the same run: rows of the same number and size written into the same kind of database without any decision.
import "../help.ts";
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { startPostgres } from "../../packages/core/dist/testing/postgres-server.js";
import { type BenchCore, percentile, startBenchCore } from "../control-plane/fleet.ts";
import { cpuSecondsOfTree } from "../control-plane/usage.ts";
import { told, whereNow } from "../where.ts";
import { measureBareWave } from "./baseline.ts";
import { report } from "./report.ts";

const { values } = parseArgs({
  options: {
    nodes: { type: "string", default: "1000" },
    notices: { type: "string", default: "500" },
    engines: { type: "string", default: "embedded,postgres" },
    /** The same as --engines postgres. */
    postgres: { type: "boolean", default: false },
    report: { type: "string" },
  },
});
const nodeCount = Number(values.nodes);
const noticeCount = Number(values.notices);
/** In which all notices are given. */
const spreadMs = 900;
const stepMs = 20;
/** Nobody asks core while it decides: every decision and every plan has its time on record. */
const quietMs = 6_000;
const decideWithinMs = 60_000;
const moveWithinMs = 90_000;

interface Decision {
  readonly id: string;
  readonly at: string;
  readonly nodeId: string;
  readonly rule: string;
  readonly waveId?: string;
  readonly latencyMs: number;
  readonly moves?: readonly { readonly action: string }[];
}
interface Migration {
  readonly workload: string;
  readonly state: string;
  readonly createdAt: string;
  readonly endedAt?: string;
}
export type Row = Awaited<ReturnType<typeof measure>>;

const machine = told(await whereNow());
const rows: Row[] = [];
for (const engine of values.postgres ? ["postgres"] : values.engines.split(",")) {
  const row = await measure(engine === "postgres");
  rows.push(row);
  console.log(JSON.stringify(row, null, 2));
}
if (values.report !== undefined) {
  await writeFile(values.report, report(rows, { nodeCount, noticeCount }));
  console.error(`written: ${values.report}`);
}

async function measure(isPostgres: boolean) {
  const database = isPostgres ? "PostgreSQL" : "embedded";
  const say = (what: string) => console.error(`${database}: ${what}`);
  const server = isPostgres ? await startPostgres({ isDurable: true }) : undefined;
  const pid = await server?.pid();
  try {
    say("baseline");
    const bare = await measureBareWave(noticeCount, await server?.createDatabase());
    say(`connecting ${nodeCount} agents`);
    const core = await startBenchCore({
      nodeCount,
      workloadCount: noticeCount,
      stepMs,
      postgres: await server?.createDatabase(),
      // A fleet on the same processors as core may be late with its heartbeats, and is not lost for it.
      config: { moves: { atOnce: 64, atOnceEachNode: 4 }, heartbeat: { lostAfterMs: 60_000 } },
    });
    const beat = setInterval(() => {
      for (const agent of core.agents) agent.heartbeat();
    }, 2_000);
    try {
      // Certificates are there when the notices come, as they would be.
      await pause(12_000);
      say(`${noticeCount} notices within ${spreadMs} ms`);
      const databaseBefore = pid === undefined ? 0 : cpuSecondsOfTree(pid);
      const seen = await wave(core, say);
      return { database, ...seen, databaseCpuSeconds: (pid === undefined ? 0 : cpuSecondsOfTree(pid)) - databaseBefore, bare };
    } finally {
      clearInterval(beat);
      await core.stop();
    }
  } finally {
    await server?.stop();
  }
}

async function wave(core: BenchCore, say: (what: string) => void) {
  const before = core.usage();
  const beganMs = Date.now();
  const leavers = core.agents.slice(0, noticeCount);
  for (const [i, agent] of leavers.entries()) setTimeout(() => agent.notice(beganMs + 120_000), (i / noticeCount) * spreadMs);
  await pause(spreadMs);
  const sentMs = Date.now();
  let decisions: Decision[] = [];
  let everything: Decision[] = [];
  while (decisions.length < noticeCount && Date.now() - beganMs < decideWithinMs) {
    await pause(quietMs);
    // There are others: of nodes that were not heard for a while on a machine too busy for its own fleet, of risks of which the decision is not to act.
    everything = await all<Decision>(core, "/api/v2/decisions", "decisions");
    decisions = firstOfNotices(everything);
  }
  const decided = core.usage();
  say(`${decisions.length} are decided; waiting for the moves`);
  let moves: Migration[] = [];
  for (;;) {
    moves = await all<Migration>(core, "/api/v2/migrations", "migrations");
    if (moves.length > 0 && moves.every((each) => each.endedAt !== undefined)) break;
    if (Date.now() - beganMs > moveWithinMs) break;
    await pause(4_000);
  }
  const after = core.usage();
  const at = decisions.map((each) => Date.parse(each.at));
  const latencies = decisions.map((each) => each.latencyMs);
  const count = (action: string) =>
    decisions.reduce((sum, each) => sum + (each.moves ?? []).filter((move) => move.action === action).length, 0);
  const done = moves.filter((each) => each.state === "MIGRATION_STATE_DONE");
  return {
    nodes: nodeCount,
    notices: noticeCount,
    decided: decisions.length,
    waves: new Set(decisions.map((each) => each.waveId)).size,
    lastDecidedAfterLastNoticeMs: Math.max(...at) - sentMs,
    lastDecidedAfterFirstNoticeMs: Math.max(...at) - beganMs,
    latencyP50Ms: percentile(latencies, 0.5),
    latencyP99Ms: percentile(latencies, 0.99),
    // The first move of each workload: a later one is another try.
    lastPlannedAfterFirstNoticeMs: Math.max(...firstOfEach(moves)) - beganMs,
    rules: Object.fromEntries(
      [...new Set(everything.map(({ rule }) => rule))].sort().map((rule) => [rule, everything.filter((each) => each.rule === rule).length]),
    ),
    plannedToMove: count("move"),
    plannedToSnapshot: count("snapshot"),
    moved: done.length,
    lastMovedAfterMs: Math.max(...done.map((each) => Date.parse(each.endedAt ?? each.createdAt))) - beganMs,
    /** From the first notice until the first look at the decisions. */
    coreCpuSecondsFirst: decided.cpuSeconds - before.cpuSeconds,
    coreCpuSeconds: after.cpuSeconds - before.cpuSeconds,
    coreMainThreadSeconds: after.mainThreadSeconds - before.mainThreadSeconds,
    coreResidentMiB: Math.round(after.residentBytes / 1_048_576),
    machine,
  };
}

/** Of each node the first decision that its notice brought. */
function firstOfNotices(decisions: readonly Decision[]): Decision[] {
  const first = new Map<string, Decision>();
  for (const each of decisions.filter(({ rule }) => rule.startsWith("notice-"))) {
    const known = first.get(each.nodeId);
    if (known === undefined || Date.parse(each.at) < Date.parse(known.at)) first.set(each.nodeId, each);
  }
  return [...first.values()];
}

function firstOfEach(moves: readonly Migration[]): number[] {
  const first = new Map<string, number>();
  for (const { workload, createdAt } of moves)
    first.set(workload, Math.min(first.get(workload) ?? Number.POSITIVE_INFINITY, Date.parse(createdAt)));
  return [...first.values()];
}

async function all<Item>(core: BenchCore, path: string, key: string): Promise<Item[]> {
  const found: Item[] = [];
  for (let token = ""; ; ) {
    const page = await core.get<Record<string, unknown>>(`${path}?page.pageSize=1000${token === "" ? "" : `&page.pageToken=${token}`}`);
    found.push(...((page[key] ?? []) as Item[]));
    token = (page.nextPageToken as string | undefined) ?? "";
    if (token === "") return found;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
