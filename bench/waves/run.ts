// A wave: many nodes are given notice within one second. How long until every notice is decided, every move planned, every workload moved?
//   npm run build && npx node bench/waves/run.ts [--nodes 1000] [--notices 500] [--postgres] [--out FILE]
// The fleet is simulated at the wire (real TLS, real sessions, no machines), so what is measured is core: intake, decision, plan, orchestration.
// Baseline in the same run: the same rows written by a bare transaction into the same kind of database, without any decision.
import { writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { startPostgres } from "../../packages/core/dist/testing/postgres-server.js";
import { percentile, startBenchCore } from "../control-plane/fleet.ts";

const { values } = parseArgs({
  options: {
    nodes: { type: "string", default: "1000" },
    notices: { type: "string", default: "500" },
    postgres: { type: "boolean", default: false },
    out: { type: "string" },
  },
});
const nodeCount = Number(values.nodes);
const noticeCount = Number(values.notices);
const server = values.postgres ? await startPostgres() : undefined;
const core = await startBenchCore({
  nodeCount,
  workloadCount: noticeCount,
  stepMs: 20,
  postgres: await server?.createDatabase(),
  // A fleet on the same processors as core may be late with its heartbeats, and is not lost for it.
  config: { moves: { atOnce: 64, atOnceEachNode: 4 }, heartbeat: { lostAfterMs: 60_000 } },
});

interface Decision {
  readonly id: string;
  readonly at: string;
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

function firstOfEach(moves: readonly Migration[]): number[] {
  const first = new Map<string, number>();
  for (const { workload, createdAt } of moves)
    first.set(workload, Math.min(first.get(workload) ?? Number.POSITIVE_INFINITY, Date.parse(createdAt)));
  return [...first.values()];
}

async function all<Item>(path: string, key: string): Promise<Item[]> {
  const found: Item[] = [];
  for (let token = ""; ; ) {
    const page = await core.get<Record<string, unknown>>(`${path}?page.pageSize=1000${token === "" ? "" : `&page.pageToken=${token}`}`);
    found.push(...((page[key] ?? []) as Item[]));
    token = (page.nextPageToken as string | undefined) ?? "";
    if (token === "") return found;
  }
}

try {
  const beat = setInterval(() => {
    for (const agent of core.agents) agent.heartbeat();
  }, 2_000);
  beat.unref();
  // Certificates are there when the notices come, as they would be.
  await new Promise((resolve) => setTimeout(resolve, 12_000));
  const before = core.usage();
  const beganMs = Date.now();
  const leavers = core.agents.slice(0, noticeCount);
  for (const [i, agent] of leavers.entries()) setTimeout(() => agent.notice(beganMs + 120_000), (i / noticeCount) * 900);
  await new Promise((resolve) => setTimeout(resolve, 900));
  const sentMs = Date.now();
  // Nobody asks meanwhile: every decision and every plan has its time on record.
  let decisions: Decision[] = [];
  let everything: Decision[] = [];
  while (decisions.length < noticeCount && Date.now() - beganMs < 60_000) {
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    // Also decisions about nodes that were not heard for a while: on a machine that is too busy for its own fleet there are some.
    everything = await all<Decision>("/api/v2/decisions", "decisions");
    decisions = everything.filter(({ rule }) => rule !== "node-lost-hold");
  }
  const at = decisions.map((each) => Date.parse(each.at));
  let moves: Migration[] = [];
  for (;;) {
    moves = await all<Migration>("/api/v2/migrations", "migrations");
    if (moves.length > 0 && moves.every((each) => each.endedAt !== undefined)) break;
    if (Date.now() - beganMs > 180_000) break;
    await new Promise((resolve) => setTimeout(resolve, 5_000));
  }
  const after = core.usage();
  const count = (action: string) =>
    decisions.reduce((sum, each) => sum + (each.moves ?? []).filter((move) => move.action === action).length, 0);
  const done = moves.filter((each) => each.state === "MIGRATION_STATE_DONE");
  const row = {
    database: values.postgres ? "PostgreSQL" : "embedded",
    nodes: nodeCount,
    notices: noticeCount,
    decided: decisions.length,
    waves: new Set(decisions.map((each) => each.waveId)).size,
    lastDecidedAfterLastNoticeMs: Math.max(...at) - sentMs,
    lastDecidedAfterFirstNoticeMs: Math.max(...at) - beganMs,
    latencyP50Ms: percentile(
      decisions.map((each) => each.latencyMs),
      0.5,
    ),
    latencyP99Ms: percentile(
      decisions.map((each) => each.latencyMs),
      0.99,
    ),
    // The first move of each workload: a later one is another try.
    lastPlannedAfterFirstNoticeMs: Math.max(...firstOfEach(moves)) - beganMs,
    rules: Object.fromEntries(
      [...new Set(everything.map(({ rule }) => rule))].sort().map((rule) => [rule, everything.filter((each) => each.rule === rule).length]),
    ),
    plannedToMove: count("move"),
    plannedToSnapshot: count("snapshot"),
    moved: done.length,
    lastMovedAfterMs: Math.max(...done.map((each) => Date.parse(each.endedAt ?? each.createdAt))) - beganMs,
    coreCpuSeconds: after.cpuSeconds - before.cpuSeconds,
    coreResidentMiB: Math.round(after.residentBytes / 1_048_576),
    machine: `${cpus().length} x ${cpus()[0]?.model}, load ${loadavg()[0]?.toFixed(1)}`,
  };
  console.log(JSON.stringify(row, null, 2));
  if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(row, null, 2)}\n`);
} finally {
  await core.stop();
  await server?.stop();
}
