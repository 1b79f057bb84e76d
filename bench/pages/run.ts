// What carrying memory from one node to the other costs: two engines and no control plane, one process of random memory that writes nothing, its first pass. Processor time
// is that of everything both sides run: engines, helpers, and what they started. The ways are taken in turn within one run, as pairs.
//   npm run bench:pages -- [--mib 1024] [--pairs 5] [--json FILE]
// Needs root and gcc. "agents": the same program built without OpenSSL.
import "../help.ts";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type EngineHost, openTopology, specOf, type Topology } from "../../tests/e2e/engine/topology.ts";

const { values } = parseArgs({
  options: { mib: { type: "string", default: "1024" }, pairs: { type: "string", default: "5" }, json: { type: "string" } },
});
const root = join(import.meta.dirname, "../..");
const address = "10.221.1.1";
const name = "bench";
/** USER_HZ of every Linux that Node runs on. */
const ticksPerSecond = 100;

interface Sample {
  readonly way: string;
  readonly transport: string;
  readonly gigabytes: number;
  readonly bytesPerSecond: number;
  /** Processor seconds of the source's side and of the target's, a gigabyte (10^9 bytes). */
  readonly sourceCpu: number;
  readonly targetCpu: number;
  readonly load: number;
}

/** Processor time of a process, of those that it has reaped, and of its descendants, s. */
function cpuSeconds(host: EngineHost): number {
  const stats = new Map<number, { readonly parent: number; readonly ticks: number }>();
  for (const pid of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      stats.set(Number(pid), { parent: Number(fields[1]), ticks: fields.slice(11, 15).reduce((sum, each) => sum + Number(each), 0) });
    } catch {
      // it has ended
    }
  }
  let ticks = 0;
  const wanted = [host.pid() ?? 0];
  for (let pid = wanted.pop(); pid !== undefined; pid = wanted.pop()) {
    ticks += stats.get(pid)?.ticks ?? 0;
    for (const [each, { parent }] of stats) if (parent === pid) wanted.push(each);
  }
  return ticks / ticksPerSecond;
}

async function copy(hosts: Topology, way: string, id: number): Promise<Sample> {
  const ref = { migrationId: `pages-${id}`, workload: name, epoch: 1 };
  const ready = await hosts.b.call("prepare", ref, spec, hosts.a.id, "pre-copy");
  const peer = { nodeId: hosts.b.id, address: ready.linkAddress, port: ready.linkPort };
  const before = [cpuSeconds(hosts.a), cpuSeconds(hosts.b)] as const;
  const { memory } = await hosts.a.call("copy", ref, peer, "pre-copy", { isModeRequired: true });
  const [sourceCpu, targetCpu] = [cpuSeconds(hosts.a) - before[0], cpuSeconds(hosts.b) - before[1]];
  await hosts.b.call("abort", ref);
  await hosts.a.call("thaw", ref);
  const [first] = memory.rounds;
  const gigabytes = first.sentBytes / 1e9;
  return {
    way,
    transport: memory.transport,
    gigabytes,
    bytesPerSecond: (first.sentBytes / first.durationMs) * 1000,
    sourceCpu: sourceCpu / gigabytes,
    targetCpu: targetCpu / gigabytes,
    load: loadavg()[0] ?? 0,
  };
}

const build = mkdtempSync(join(tmpdir(), "aether-bench-pages-"));
execFileSync("make", ["-s", "-C", join(root, "native"), "HAS_TLS=", `BUILD=${build}`, join(build, "aether-native")], {
  stdio: ["ignore", "ignore", "inherit"],
});
const program = join(build, "random-memory");
execFileSync("gcc", ["-O2", "-o", program, join(import.meta.dirname, "random-memory.c")]);
const spec = specOf(name, address, [program, values.mib]);
const ways = { agents: join(build, "aether-native"), direct: join(root, "native/build/aether-native") };
const samples: Sample[] = [];
const open: { readonly way: string; readonly hosts: Topology }[] = [];
try {
  for (const [index, [way, native]] of Object.entries(ways).entries()) {
    const hosts = await openTopology(`bp${index}`, 221 + index, { native });
    open.push({ way, hosts });
    await hosts.a.call("start", { ...spec, address: `10.${221 + index}.1.1` }, 1);
    while (!(await hosts.a.call<string>("logs", name)).includes("ready")) await new Promise((resolve) => setTimeout(resolve, 100));
  }
  for (let i = 0; i < Number(values.pairs); i++) {
    for (const { way, hosts } of i % 2 === 0 ? open : open.toReversed()) {
      const one = await copy(hosts, way, i);
      samples.push(one);
      console.error(
        `${one.way} (${one.transport}): ${(one.bytesPerSecond / 1e9).toFixed(2)} GB/s, ${(one.sourceCpu + one.targetCpu).toFixed(2)} CPU s a GB ` +
          `(${one.sourceCpu.toFixed(2)} source, ${one.targetCpu.toFixed(2)} target), load ${one.load.toFixed(1)}`,
      );
    }
  }
} finally {
  for (const { hosts } of open) await hosts.close();
  rmSync(build, { recursive: true, force: true });
}

const median = (of: readonly number[]) => [...of].sort((a, b) => a - b)[Math.floor(of.length / 2)] ?? Number.NaN;
const columns = {
  "GB/s": (one: Sample) => one.bytesPerSecond / 1e9,
  "GB per CPU second of a side": (one: Sample) => 1 / Math.max(one.sourceCpu, one.targetCpu),
  "source CPU s/GB": (one: Sample) => one.sourceCpu,
  "target CPU s/GB": (one: Sample) => one.targetCpu,
  "CPU s/GB": (one: Sample) => one.sourceCpu + one.targetCpu,
};
console.log(
  `${values.mib} MiB of random memory, ${values.pairs} pairs; ${cpus().length} x ${cpus()[0]?.model}, Linux ${release()}, load ${loadavg()[0]?.toFixed(1)}\n`,
);
console.log(`| median | ${Object.keys(ways).join(" | ")} | ratio |\n|---|---|---|---|`);
for (const [label, pick] of Object.entries(columns)) {
  const [agents = 0, direct = 0] = Object.keys(ways).map((way) => median(samples.filter((one) => one.way === way).map(pick)));
  console.log(`| ${label} | ${agents.toFixed(2)} | ${direct.toFixed(2)} | ${(direct / agents).toFixed(2)} |`);
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(samples, undefined, 2)}\n`);
