// Freeze, client gap and the time around a move, over a grid of memory, writes and links: the product, criu alone (whole and lazy), podman; all in turn in one run.
//   npm run bench:migration -- [--out docs/benchmarks/migration] [--dir DIR] [--memory 16,256,1024,4096] [--dirty 0,50,200] [--link 0,1000] [--runs 15] [--baseline-runs 3]
//        [--methods aether-pre-copy,aether-post-copy,aether-stop-and-copy,criu,criu-lazy,podman] [--each 3] [--minutes 20] [--rounds 2] [--status]
// Goes over all cells in rounds of --each moves, so that a run that is broken off (by --minutes, by --rounds, by ctrl-c: after the move that it is at) has as many of
// each. What was measured is in OUT.csv, one line a move; the next run goes on there. OUT.runs.jsonl says of each run the commit and the machine, OUT.md is made anew
// each time (page.ts does that alone). --status shows how many there are of how many, and measures nothing.
// Needs root, redis-server, redis-cli, for a link's rate tc, for podman podman, and a criu. Starts a local cloud of its own and takes it down again, or uses that of DIR (its
// prefix, where it is not the usual one, by --prefix). A move of the product takes 7 s with 16 MB, 8 to 14 s with 1 GB, 20 to 45 s with 4 GiB; one of criu's script up to 15 s
// with 1 GB, of podman 30: the default, 90 moves less the baselines' 36, some 19 minutes.
import "../help.ts";
import { mkdirSync, realpathSync } from "node:fs";
import { basename, dirname } from "node:path";
import { parseArgs } from "node:util";
import { run } from "@aether/kit";
import type { Measured } from "../first-migration/bare.ts";
import { openHosts } from "../first-migration/hosts.ts";
import { openOwnCloud } from "../first-migration/own-cloud.ts";
import { openCloud } from "../first-migration/product.ts";
import { whereNow } from "../where.ts";
import { type Cell, gridOf, isOf, keepRun, keepSample, readSamples } from "./cells.ts";
import { isOurs, limitLink, measureBaseline, type Resident, type Rig, startResident } from "./method.ts";
import { writePage } from "./page.ts";
import { openPodman } from "./podman.ts";
import { goalAfter, roundCount } from "./rounds.ts";

const { values } = parseArgs({
  options: {
    dir: { type: "string" },
    out: { type: "string", default: "docs/benchmarks/migration" },
    memory: { type: "string", default: "16,256,1024" },
    dirty: { type: "string", default: "0,50" },
    link: { type: "string", default: "0" },
    runs: { type: "string", default: "15" },
    "baseline-runs": { type: "string", default: "3" },
    each: { type: "string", default: "3" },
    rounds: { type: "string", default: "1000000" },
    minutes: { type: "string", default: "1000000" },
    status: { type: "boolean", default: false },
    prefix: { type: "string", default: "ae" },
    criu: { type: "string", default: "/opt/aether/criu/bin/criu" },
    methods: { type: "string", default: "aether-pre-copy,criu,podman" },
  },
});
const file = `${values.out}.csv`;
mkdirSync(dirname(file), { recursive: true });
const cells = gridOf(values.memory, values.dirty, values.link);
let methods = values.methods.split(",");
const wanted = (method: string) => Number(isOurs(method) ? values.runs : values["baseline-runs"]);
const counted = (cell: Cell, method: string) => readSamples(file).filter(isOf(cell, method)).length;

function showStatus(): void {
  for (const cell of cells)
    console.error(
      `${JSON.stringify(cell)} ${methods.map((method) => `${method} ${counted(cell, method)} of ${wanted(method)}`).join(", ")}`,
    );
}

let untilMs = Date.now() + Number(values.minutes) * 60_000;
const isTime = () => Date.now() < untilMs;
/** Ours, one after the other: the cloud is broken then, and nothing that follows would be a measurement. */
const mostFailures = 5;
let failures = 0;

/** Numbers of `detail` that have columns of their own; the rest are phases. */
const ownColumns = ["cpuSeconds", "sentBytes", "safeMs", "linkBytesPerSecond"];

function keep(runName: string, cell: Cell, method: string, nth: number, one: Partial<Measured>): void {
  const show = (value: number | undefined) => (value === undefined ? "NaN" : value.toFixed(1));
  const { detail = {} } = one;
  const phases = Object.entries(detail).filter(([name]) => !ownColumns.includes(name));
  keepSample(file, {
    run: runName,
    at: new Date().toISOString(),
    memory_mb: String(cell.memoryMb),
    dirty_mb_s: String(cell.dirtyMb),
    link_mbit_s: String(cell.linkMbit),
    method,
    nth: String(nth),
    freeze_ms: show(one.freezeMs),
    gap_ms: show(one.gapMs),
    before_ms: show(one.beforeMs),
    over_50_ms_before: String(one.stallsBefore ?? "NaN"),
    safe_ms: show(detail.safeMs ?? one.totalMs),
    total_ms: show(one.totalMs),
    worst_after_ms: show(one.worstAfterMs),
    over_50_ms_after: String(one.stallsAfter ?? "NaN"),
    cpu_s: show(detail.cpuSeconds),
    sent_bytes: show(detail.sentBytes),
    link_bytes_s: show(detail.linkBytesPerSecond),
    phases: phases.map(([name, ms]) => `${name}=${ms.toFixed(1)}`).join(";"),
    wrong: String(one.wrongCount ?? 0),
    error: one.error ?? "",
  });
  console.error(
    `${JSON.stringify(cell)} ${method}: freeze ${show(one.freezeMs)} gap ${show(one.gapMs)}, before it ${show(one.beforeMs)}, after it ${show(one.worstAfterMs)} ms ${one.error ?? ""}`,
  );
}

/** What is due of one memory in this round; its redis is filled once for it. */
async function visit(
  rig: Rig,
  runName: string,
  links: readonly string[],
  memoryMb: number,
  goal: (method: string) => number,
): Promise<void> {
  let resident: Resident | undefined;
  const isDue = (cell: Cell, method: string) => counted(cell, method) < goal(method);
  try {
    for (const cell of cells.filter((each) => each.memoryMb === memoryMb)) {
      if (!isTime() || !methods.some((method) => isDue(cell, method))) continue;
      await limitLink(links, cell.linkMbit);
      while (methods.some((method) => isDue(cell, method)) && isTime())
        for (const method of methods.filter((each) => isDue(cell, each))) {
          if (!isTime()) break;
          if (!isOurs(method)) {
            keep(runName, cell, method, 1, await measureBaseline(rig, method, cell).catch(failed));
            continue;
          }
          const one = await (async () => {
            resident ??= await startResident(rig, memoryMb);
            return resident.move(method, cell);
          })().catch(failed);
          keep(runName, cell, method, resident?.moveCount ?? 0, one);
          failures = one.error === null ? 0 : failures + 1;
          if (failures === mostFailures) throw new Error(`${failures} moves in a row failed, the last with: ${one.error}`);
          // Where a failed move left it is not known here.
          if (one.error !== null) {
            await resident?.remove();
            resident = undefined;
          }
        }
    }
  } finally {
    await resident?.remove();
  }
}

const failed = (cause: unknown): Partial<Measured> => ({ error: String(cause) });

/** Of the options those that say what is measured. */
function shownOptions(): string {
  const shown = ["memory", "dirty", "link", "methods", "runs", "baseline-runs", "each", "rounds", "minutes"] as const;
  return shown.flatMap((name) => (values[name] === "1000000" ? [] : [`--${name} ${values[name]}`])).join(" ");
}

async function measureAll(): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => {
      console.error("ends after this move, and takes down what it made");
      untilMs = 0;
    });
  const where = await whereNow();
  const notes: string[] = [];
  const podman = methods.includes("podman")
    ? await openPodman(values.criu).catch(
        (cause: unknown) => void notes.push(`podman was not measured: ${String(cause).replaceAll("\n", " ")}`),
      )
    : undefined;
  if (podman === undefined) methods = methods.filter((method) => method !== "podman");
  const preDump = await run(values.criu, ["check", "--feature", "mem_dirty_track"], { deadlineMs: 30_000, okCodes: [0, 1] });
  if (!preDump.stderr.includes("Error") && preDump.stdout.includes("is supported"))
    notes.push("criu's own pre-dump would work on this kernel and has no row here.");
  else notes.push("criu's own pre-dump could not be compared: this kernel has no soft-dirty pages (criu check --feature mem_dirty_track).");
  const version = (await run(values.criu, ["--version"], { deadlineMs: 10_000 })).stdout
    .trim()
    .replaceAll(/\s+/g, " ")
    .replace("Version:", "criu");
  // Ours says by its folder which patches it has.
  const folder = basename(dirname(dirname(realpathSync(values.criu))));
  const criu = folder.startsWith("criu-") ? folder : version;
  const runName = new Date().toISOString().slice(0, 19);

  const own = await openOwnCloud(values.dir);
  const hosts = await openHosts();
  const links = [`${values.prefix}-n1`, `${values.prefix}-n2`, hosts.names.source, hosts.names.target];
  try {
    const rig: Rig = { cloud: await openCloud(own.dir), hosts, criu: values.criu, podman };
    keepRun(`${values.out}.runs.jsonl`, {
      run: runName,
      ...where,
      criu,
      options: shownOptions(),
      notes,
    });
    const rounds = roundCount(Math.max(...methods.map(wanted)), Number(values.each));
    for (let round = 0; round < Math.min(rounds, Number(values.rounds)) && isTime(); round++) {
      console.error(`round ${round + 1} of ${rounds}`);
      for (const memoryMb of new Set(cells.map((cell) => cell.memoryMb)))
        await visit(rig, runName, links, memoryMb, (method) => goalAfter(round, rounds, wanted(method)));
    }
  } finally {
    await limitLink(links, 0).catch(() => undefined);
    await hosts.close();
    await own.close();
  }
}

const isAllThere = () => cells.every((cell) => methods.every((method) => counted(cell, method) >= wanted(method)));
try {
  if (!values.status && !isAllThere()) await measureAll();
} finally {
  if (!values.status) writePage(values.out);
  showStatus();
}
