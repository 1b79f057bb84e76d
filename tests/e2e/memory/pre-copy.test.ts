// Memory that is copied ahead of the freeze: nothing of it may be lost, whatever the workload does meanwhile and whoever dies.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { missingForEngine } from "../engine/requirements.ts";
import { type EngineHost, openTopology, specOf, type Topology } from "../engine/topology.ts";

const missing = missingForEngine();
const address = "10.214.1.1";
let counter = 0;
let epoch = 1;

interface Moved {
  copied: any;
  freeze: any;
  restored: any;
  resumed: any;
}

async function prepare(spec: any, from: EngineHost, to: EngineHost) {
  const ref = { migrationId: `mem-${++counter}`, workload: spec.name, epoch };
  const ready = await to.call("prepare", ref, spec, from.id, "pre-copy");
  return { ref, peer: { nodeId: to.id, address: ready.linkAddress, port: ready.linkPort } };
}

async function move(spec: any, from: EngineHost, to: EngineHost, afterCopy: () => void = () => undefined): Promise<Moved> {
  const { ref, peer } = await prepare(spec, from, to);
  const copied = await from.call("copy", ref, peer, "pre-copy");
  afterCopy();
  const [freeze, restored] = await Promise.all([from.call("freeze", ref, peer, "pre-copy"), to.call("restore", ref, "pre-copy")]);
  const resumed = await to.call("resume", ref);
  await to.call("drainPages", ref);
  await from.call("release", ref);
  epoch++;
  return { copied, freeze, restored, resumed };
}

/** Pids of our program with this command, for this host. */
function helpers(command: string, host: EngineHost): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return words.includes(`\0${command}\0`) && words.includes(`aem${host.id}`);
      } catch {
        return false;
      }
    })
    .map(Number);
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.skipIf(missing !== undefined)(`memory copied ahead${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  let program: string;
  const spec = (mib: number, rate: number, processes: number, churn: number) =>
    specOf("self", address, [program, String(mib), String(rate), String(processes), String(churn)]);

  /** Every process goes on comparing, and no page was ever wrong. */
  async function expectWhole(host: EngineHost, processes: number) {
    const passes = async () => {
      const lines = (await host.call<string>("logs", "self")).trim().split("\n");
      expect(lines.filter((line) => line.startsWith("wrong"))).toEqual([]);
      const counts = new Map<string, number>();
      for (const line of lines) {
        const pid = /^process (\d+) pass/.exec(line)?.[1];
        if (pid !== undefined) counts.set(pid, (counts.get(pid) ?? 0) + 1);
      }
      return counts;
    };
    const before = await passes();
    // The second line of each began and ended after we began to look.
    const going = async () => [...(await passes())].filter(([pid, count]) => count >= (before.get(pid) ?? 0) + 2).length;
    for (let i = 0; i < 150 && (await going()) < processes; i++) await pause(100);
    expect(await going()).toBe(processes);
  }

  async function start(host: EngineHost, ...size: [number, number, number, number]) {
    epoch = 1;
    await host.call("start", spec(...size), epoch);
    for (let i = 0; i < 100 && !(await host.call<string>("logs", "self")).includes("pass 1 "); i++) await pause(100);
    await expectWhole(host, size[2]);
  }

  beforeAll(async () => {
    hosts = await openTopology("aem", 214);
    program = join(hosts.dir, "memory-workload");
    execFileSync("gcc", ["-O2", "-pthread", "-o", program, join(import.meta.dirname, "workload.c")]);
    expect(await hosts.a.call("canary")).toMatchObject({ reason: "", noTracking: "", isAvailable: true });
    expect(await hosts.b.call("canary")).toMatchObject({ reason: "", noTracking: "", isAvailable: true });
  });
  afterEach(async () => {
    for (const host of [hosts.a, hosts.b]) await host.call("remove", "self");
    expect([...helpers("memory-source", hosts.a), ...helpers("memory-target", hosts.b)]).toEqual([]);
  });
  afterAll(() => hosts?.close());

  it("a tree of processes that writes, maps, moves and forks goes there and back", async () => {
    await start(hosts.a, 48, 20, 3, 1);
    let [from, to] = [hosts.a, hosts.b];
    for (let i = 0; i < 3; i++) {
      const done = await move(spec(48, 20, 3, 1), from, to);
      expect(["converged", "no-gain"]).toContain(done.copied.memory.end);
      expect(done.restored.manifest.images).toEqual(done.freeze.manifest.images);
      expect(done.freeze.manifest.images.filter((image: any) => image.name.startsWith("memory-")).length).toBeGreaterThanOrEqual(3);
      expect(done.freeze.memory.keptPages).toBeGreaterThan(3 * 48 * 256 * 0.9);
      await expectWhole(to, 3);
      [from, to] = [to, from];
    }
  });
});
