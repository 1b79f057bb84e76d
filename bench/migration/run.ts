// Freeze, client gap and the time after a move, over a grid of memory, writes and links: the product, criu alone (whole and lazy), podman; all in turn in one run.
//   npm run bench:migration -- [--out docs/benchmarks/migration] [--dir DIR] [--memory 16,256,1024,4096] [--dirty 0,50,200] [--link 0,1000] [--runs 15] [--baseline-runs 3]
//        [--methods aether-pre-copy,aether-post-copy,aether-stop-and-copy,criu,criu-lazy,podman] [--minutes 20]
// What was measured is in OUT.csv, one line a move; a second run goes on where it was broken off, by --minutes too. OUT.md is made anew each time. Needs root,
// redis-server, redis-cli, for a link's rate tc, for podman podman, and a criu. Starts a local cloud of its own and takes it down again, or uses that of DIR (its prefix, where
// it is not the usual one, by --prefix). One sample of the product takes 4 s with 16 MB and some 12 s with 1 GB: the default, 270 less the baselines' 144, some 17 minutes.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { run } from "@aether/kit";
import { type BareOptions, type Measured, measureBare } from "../first-migration/bare.ts";
import { type Hosts, openHosts } from "../first-migration/hosts.ts";
import { openOwnCloud } from "../first-migration/own-cloud.ts";
import { measureMove, openCloud, removeWorkload, startRedis } from "../first-migration/product.ts";
import { type Cell, gridOf, isOf, keepSample, readSamples, watchMs } from "./cells.ts";
import { openPodman, type Podman } from "./podman.ts";
import { report } from "./report.ts";

const { values } = parseArgs({
  options: {
    dir: { type: "string" },
    out: { type: "string", default: "docs/benchmarks/migration" },
    memory: { type: "string", default: "16,256,1024" },
    dirty: { type: "string", default: "0,50" },
    link: { type: "string", default: "0" },
    runs: { type: "string", default: "15" },
    "baseline-runs": { type: "string", default: "3" },
    minutes: { type: "string", default: "1000000" },
    prefix: { type: "string", default: "ae" },
    criu: { type: "string", default: "/opt/aether/criu/bin/criu" },
    methods: { type: "string", default: "aether-pre-copy,criu,podman" },
  },
});
const file = `${values.out}.csv`;
mkdirSync(dirname(file), { recursive: true });
const cells = gridOf(values.memory, values.dirty, values.link);
const methods = values.methods.split(",");
let untilMs = Date.now() + Number(values.minutes) * 60_000;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    console.error("ends after this sample, and takes down what it made");
    untilMs = 0;
  });
const settleMs = 700;
const own = await openOwnCloud(values.dir);
const cloud = await openCloud(own.dir);

/** A writer of so many MiB a second, ended by SIGTERM. */
const writer = (cell: Cell): BareOptions["beside"] =>
  cell.dirtyMb === 0
    ? undefined
    : (enter, address) => {
        const keys = Math.max(1, Math.round((cell.memoryMb * 1e6) / 1100));
        const command = [...enter, process.execPath, join(import.meta.dirname, "load.ts"), address, String(keys), String(cell.dirtyMb)];
        const child = spawn(command[0] ?? "", command.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
        let text = "";
        child.stdout.on("data", (chunk: Buffer) => {
          text += chunk.toString();
        });
        // A writer whose connection breaks ends by itself, long before it is asked to.
        const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
        return {
          async stop() {
            child.kill("SIGTERM");
            await closed;
            return text === "" ? { wrongCount: 0, error: "the writer ended" } : JSON.parse(text);
          },
        };
      };

/** The two nodes' interfaces are given this rate, or none. */
async function limitLink(namespaces: readonly string[], mbit: number): Promise<void> {
  for (const namespace of namespaces) {
    const tc = ["-n", namespace, "qdisc"];
    await run("tc", [...tc, "del", "dev", "eth0", "root"], { deadlineMs: 10_000, okCodes: [0, 1, 2] });
    if (mbit > 0)
      await run("tc", [...tc, "add", "dev", "eth0", "root", "tbf", "rate", `${mbit}mbit`, "burst", "256k", "latency", "50ms"], {
        deadlineMs: 10_000,
      });
  }
}

interface Moved {
  readonly address: string;
  count: number;
}

async function measure(cell: Cell, method: string, hosts: Hosts, podman: Podman | undefined, moved: Moved | undefined): Promise<Measured> {
  const beside = writer(cell);
  const watch = { settleMs, afterMs: watchMs(cell) };
  const options: BareOptions = { ...watch, ...(beside === undefined ? {} : { beside }) };
  if (method === "criu") return measureBare(hosts, values.criu, cell.memoryMb, options);
  if (method === "criu-lazy") return measureBare(hosts, values.criu, cell.memoryMb, { ...options, isLazy: true });
  if (method === "podman" && podman !== undefined) return podman.measure(cell.memoryMb, options);
  if (moved === undefined) throw new Error(`${method} is not a method`);
  const load = beside?.([], moved.address);
  const mode = `MIGRATION_MODE_${method.replace("aether-", "").toUpperCase().replaceAll("-", "_")}`;
  const one = await measureMove(cloud, "bench", moved.address, moved.count++ % 2 === 0 ? "n2" : "n1", mode, watch);
  const wrote = await load?.stop();
  return { ...one, wrongCount: one.wrongCount + (wrote?.wrongCount ?? 0), error: one.error ?? wrote?.error ?? null };
}

/** Numbers of `detail` that have columns of their own; the rest are phases. */
const ownColumns = ["worstSoonAfterMs", "over50MsSoonAfter", "cpuSeconds", "sentBytes", "safeMs", "linkBytesPerSecond"];

function keep(cell: Cell, method: string, one: Partial<Measured>): void {
  const show = (value: number | undefined) => (value === undefined ? "NaN" : value.toFixed(1));
  const { detail = {} } = one;
  const phases = Object.entries(detail).filter(([name]) => !ownColumns.includes(name));
  keepSample(file, {
    memory_mb: String(cell.memoryMb),
    dirty_mb_s: String(cell.dirtyMb),
    link_mbit_s: String(cell.linkMbit),
    method,
    freeze_ms: show(one.freezeMs),
    gap_ms: show(one.gapMs),
    safe_ms: show(detail.safeMs ?? one.totalMs),
    total_ms: show(one.totalMs),
    worst_after_ms: show(detail.worstSoonAfterMs),
    over_50_ms_after: show(detail.over50MsSoonAfter),
    cpu_s: show(detail.cpuSeconds),
    sent_bytes: show(detail.sentBytes),
    link_bytes_s: show(detail.linkBytesPerSecond),
    phases: phases.map(([name, ms]) => `${name}=${ms.toFixed(1)}`).join(";"),
    wrong: String(one.wrongCount ?? 0),
    error: one.error ?? "",
  });
  console.error(`${JSON.stringify(cell)} ${method}: freeze ${show(one.freezeMs)} gap ${show(one.gapMs)} ms ${one.error ?? ""}`);
}

const hosts = await openHosts();
const notes: string[] = [];
const podman = methods.includes("podman")
  ? await openPodman(values.criu).catch(
      (cause: unknown) => void notes.push(`podman was not measured: ${String(cause).replaceAll("\n", " ")}`),
    )
  : undefined;
const links = [`${values.prefix}-n1`, `${values.prefix}-n2`, hosts.names.source, hosts.names.target];
try {
  for (const cell of cells) {
    const missing = (method: string) => {
      const wanted = Number(method.startsWith("aether-") ? values.runs : values["baseline-runs"]);
      return wanted - readSamples(file).filter(isOf(cell, method)).length;
    };
    const wanted = methods.filter((method) => missing(method) > 0 && !(method === "podman" && podman === undefined));
    if (wanted.length === 0 || Date.now() > untilMs) continue;
    await limitLink(links, cell.linkMbit);
    const isOurs = wanted.some((method) => method.startsWith("aether-"));
    const moved = isOurs ? { address: await startRedis(cloud, "bench", cell.memoryMb), count: 0 } : undefined;
    try {
      while (wanted.some((method) => missing(method) > 0) && Date.now() < untilMs)
        for (const method of wanted)
          if (missing(method) > 0)
            keep(cell, method, await measure(cell, method, hosts, podman, moved).catch((cause: unknown) => ({ error: String(cause) })));
    } finally {
      if (moved !== undefined) await removeWorkload(cloud, "bench");
    }
  }
} finally {
  await limitLink(links, 0).catch(() => undefined);
  await hosts.close();
  await own.close();
}
const preDump = await run(values.criu, ["check", "--feature", "mem_dirty_track"], { deadlineMs: 30_000, okCodes: [0, 1] });
if (!preDump.stderr.includes("Error") && preDump.stdout.includes("is supported"))
  notes.push("criu's own pre-dump would work on this kernel and has no row here.");
else notes.push("criu's own pre-dump could not be compared: this kernel has no soft-dirty pages (criu check --feature mem_dirty_track).");
const machine = `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.version}`;
writeFileSync(`${values.out}.md`, report(cells, methods, readSamples(file), machine, notes));
