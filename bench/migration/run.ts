// Freeze, client gap and the time after a move, over a grid of memory, writes and links: the product, criu alone (whole and lazy), podman; all in turn in one run.
//   npm run bench:migration -- --out FOLDER [--dir DIR] [--memory 16,256,1024,4096] [--dirty 0,50,200] [--link 0,1000] [--runs 15]
//        [--methods aether-pre-copy,aether-post-copy,aether-stop-and-copy,criu,criu-lazy,podman]
// What was measured is in FOLDER/samples.csv, one line a move; a second run goes on where it was broken off. FOLDER/report.md is made anew each time. Needs root,
// redis-server, redis-cli, for a link's rate tc, for podman podman and a criu in PATH. Starts a local cloud of its own and takes it down again, or uses that of DIR (its prefix, where
// it is not the usual one, by --prefix). One sample takes 15 s with 16 MB and some 60 s with 4 GB: the default grid of 4 cells x 5 methods x 5 runs half an hour.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { run } from "@aether/kit";
import { type BareOptions, type Measured, measureBare } from "../first-migration/bare.ts";
import { type Hosts, openHosts } from "../first-migration/hosts.ts";
import { openOwnCloud } from "../first-migration/own-cloud.ts";
import { measureMove, openCloud, removeWorkload, startRedis } from "../first-migration/product.ts";
import { type Cell, gridOf, isOf, keepSample, readSamples } from "./cells.ts";
import { measurePodman, preparePodman } from "./podman.ts";
import { report } from "./report.ts";

const { values } = parseArgs({
  options: {
    dir: { type: "string" },
    out: { type: "string" },
    memory: { type: "string", default: "16,256" },
    dirty: { type: "string", default: "0,50" },
    link: { type: "string", default: "0" },
    runs: { type: "string", default: "5" },
    prefix: { type: "string", default: "ae" },
    criu: { type: "string", default: "/opt/aether/criu/bin/criu" },
    methods: { type: "string", default: "aether-pre-copy,aether-stop-and-copy,criu,criu-lazy,podman" },
  },
});
if (values.out === undefined) throw new Error("give --out, a folder for samples.csv and report.md");
mkdirSync(values.out, { recursive: true });
const file = join(values.out, "samples.csv");
const cells = gridOf(values.memory, values.dirty, values.link);
const methods = values.methods.split(",");
const own = await openOwnCloud(values.dir);
const cloud = await openCloud(own.dir);
const afterMs = 5500;

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
        return {
          stop: () =>
            new Promise((resolve) => {
              child.once("close", () => resolve(text === "" ? { wrongCount: 0, error: "the writer ended" } : JSON.parse(text)));
              child.kill("SIGTERM");
            }),
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

async function measure(cell: Cell, method: string, hosts: Hosts, moved: { address: string; count: number } | undefined): Promise<Measured> {
  const beside = writer(cell);
  const options: BareOptions = { afterMs, ...(beside === undefined ? {} : { beside }) };
  if (method === "criu") return measureBare(hosts, values.criu, cell.memoryMb, options);
  if (method === "criu-lazy") return measureBare(hosts, values.criu, cell.memoryMb, { ...options, isLazy: true });
  if (method === "podman") return measurePodman(cell.memoryMb, options);
  if (moved === undefined) throw new Error(`${method} is not a method`);
  const load = beside?.([], moved.address);
  const mode = `MIGRATION_MODE_${method.replace("aether-", "").toUpperCase().replaceAll("-", "_")}`;
  const one = await measureMove(cloud, "bench", moved.address, moved.count++ % 2 === 0 ? "n2" : "n1", mode, afterMs);
  const wrote = await load?.stop();
  return { ...one, wrongCount: one.wrongCount + (wrote?.wrongCount ?? 0), error: one.error ?? wrote?.error ?? null };
}

const runs = Number(values.runs);
const hosts = await openHosts();
const noPodman = methods.includes("podman") ? await preparePodman().then(() => undefined, String) : undefined;
if (noPodman !== undefined) console.error(`podman does not work here: ${noPodman}`);
const links = [`${values.prefix}-n1`, `${values.prefix}-n2`, hosts.names.source, hosts.names.target];
try {
  for (const cell of cells) {
    const missing = (method: string) => runs - readSamples(file).filter(isOf(cell, method)).length;
    const wanted = methods.filter((method) => missing(method) > 0 && !(method === "podman" && noPodman !== undefined));
    if (wanted.length === 0) continue;
    await limitLink(links, cell.linkMbit);
    const isOurs = wanted.some((method) => method.startsWith("aether-"));
    const moved = isOurs ? { address: await startRedis(cloud, "bench", cell.memoryMb), count: 0 } : undefined;
    try {
      for (let i = 0; i < runs; i++)
        for (const method of wanted) {
          if (missing(method) <= 0) continue;
          const one = await measure(cell, method, hosts, moved).catch(
            (cause: unknown) => ({ error: String(cause) }) as Partial<Measured> & { error: string },
          );
          const show = (value: number | undefined) => (value === undefined ? "NaN" : value.toFixed(1));
          keepSample(file, {
            memory_mb: String(cell.memoryMb),
            dirty_mb_s: String(cell.dirtyMb),
            link_mbit_s: String(cell.linkMbit),
            method,
            freeze_ms: show(one.freezeMs),
            gap_ms: show(one.gapMs),
            total_ms: show(one.totalMs),
            worst_after_ms: show(one.detail?.worstSoonAfterMs),
            over_50_ms_after: show(one.detail?.over50MsSoonAfter),
            cpu_s: show(one.detail?.cpuSeconds),
            sent_bytes: show(one.detail?.sentBytes),
            wrong: String(one.wrongCount ?? 0),
            error: one.error ?? "",
          });
          console.error(`${JSON.stringify(cell)} ${method}: freeze ${show(one.freezeMs)} gap ${show(one.gapMs)} ms ${one.error ?? ""}`);
        }
    } finally {
      if (moved !== undefined) await removeWorkload(cloud, "bench");
    }
  }
} finally {
  await limitLink(links, 0).catch(() => undefined);
  await hosts.close();
  await own.close();
}
const machine = `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.version}`;
const note = noPodman === undefined ? "" : `\npodman was not measured: ${noPodman.replaceAll("\n", " ")}\n`;
writeFileSync(join(values.out, "report.md"), `${report(cells, methods, readSamples(file), machine)}${note}`);
