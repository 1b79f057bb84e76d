// One workload with a client, moved to and fro between two hosts of which anything may break, and what must hold after each move: exactly one instance runs, the client's one
// connection has seen no wrong answer, and nothing is left behind on either host.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { run, until } from "@aether/kit";
import { expect } from "vitest";
import { type CounterClient, openCounterClient } from "./counter-client.ts";
import { type EngineHost, openTopology, specOf, type Topology } from "./topology.ts";

/** Fault points of the engine on the side that a workload moves to, in the order of a move. */
export const pointsOfTarget = [
  "prepare.after_namespace",
  "restore.ready",
  "restore.before",
  "restore.after",
  "resume.before_continue",
  "resume.after_continue",
  "abort.half",
] as const;

export interface FaultRig {
  readonly hosts: Topology;
  readonly address: string;
  readonly client: CounterClient;
  /** Where the workload is, and where the next move leads. */
  readonly at: Readonly<Record<"source" | "target", EngineHost>>;
  /** What the last resume answered. */
  readonly resumed: any;
  /** Of the next move. */
  nextRef(): { migrationId: string; workload: string; epoch: number };
  /** Of the last move, or of the one under way. */
  migrationId(): string;
  /**
   * One move, driven as the control plane does: commits when both sides have answered, rolls back otherwise. `meanwhile` runs while the two wait,
   * `onResumed` before anybody asks for the last pages. Answers whether it was committed.
   */
  move(mode: string, meanwhile?: () => Promise<void>, onResumed?: () => Promise<void>): Promise<boolean>;
  /** Called once, in the next move, when a call that must succeed in the end has failed. */
  onTrouble(work: () => Promise<void>): void;
  /** One instance, its client content, and nothing else of the move on either host. */
  isWell(): Promise<void>;
  close(): Promise<void>;
}

const redis: readonly string[] = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""];

/**
 * @param hasOwnDisk the state of each host lies on a small file system of its own, which a test can fill
 * @param argv of the workload, which answers PING and INCR as redis does
 */
export async function openFaultRig(prefix: string, net: number, { hasOwnDisk = false, argv = redis } = {}): Promise<FaultRig> {
  const address = `10.${net}.1.1`;
  const spec = specOf("hit", address, [...argv]);
  const mount = async (dir: string, size: string) => {
    await mkdir(dir, { recursive: true });
    await run("mount", ["-t", "tmpfs", "-o", `size=${size},mode=0700`, "aether-test", dir], { deadlineMs: 5000 });
  };
  const hosts = await openTopology(prefix, net, {}, async (memoryDir, stateDir) => {
    await mount(memoryDir, "24m");
    if (hasOwnDisk) await mount(stateDir, "48m");
  });
  let epoch = 1;
  let moves = 0;
  let resumed: any;
  let trouble: (() => Promise<void>) | undefined;
  let at = { source: hosts.a, target: hosts.b };
  for (const host of [hosts.a, hosts.b]) expect(await host.call("canary")).toMatchObject({ reason: "", isAvailable: true });
  await hosts.a.call("start", spec, 1);
  await until("redis to answer", 50, 10_000, async () => {
    const asked = await run("redis-cli", ["-h", address, "ping"], { deadlineMs: 5000, okCodes: [0, 1] });
    return asked.stdout.includes("PONG") ? true : undefined;
  });
  const client = await openCounterClient(address);

  /** As often as it takes: an agent that is dead or hangs is started anew, as a supervisor does. */
  async function insist(host: EngineHost, path: string, ...args: unknown[]): Promise<any> {
    for (let attempt = 0; ; attempt++) {
      if (!host.isAlive()) await host.restart();
      const outcome = await within(5000, host.call(path, ...args));
      if (outcome.status === "fulfilled") return outcome.value;
      if (host.isAlive() && outcome.reason !== tooLong) await host.call("disarm").catch(() => undefined); // an error that was armed happens once
      await trouble?.();
      trouble = undefined;
      if (attempt === 4) throw new Error(`${path} on ${host.id}: ${outcome.reason}`);
      if (outcome.reason === tooLong) await host.kill();
    }
  }

  async function move(mode: string, meanwhile = async () => {}, onResumed = async () => {}): Promise<boolean> {
    const { source, target } = at;
    const ref = { migrationId: `mig-${++moves}`, workload: "hit", epoch };
    const isReady = async () => {
      const ready = await target.call("prepare", ref, spec, source.id, mode);
      const peer = { nodeId: target.id, address: ready.linkAddress, port: ready.linkPort };
      await source.call("copy", ref, peer, mode);
      const [frozen, restored] = await Promise.all([
        within(9000, source.call("freeze", ref, peer, mode)),
        within(9000, target.call("restore", ref, mode)),
        meanwhile(),
      ]);
      if (frozen.status === "rejected") throw frozen.reason;
      if (restored.status === "rejected") throw restored.reason;
      expect(restored.value.manifest.processDigest).toBe(frozen.value.manifest.processDigest);
    };
    const prepared = await within(15_000, isReady());
    if (prepared.status === "rejected") {
      if (prepared.reason instanceof Error && prepared.reason.name === "AssertionError") throw prepared.reason;
      await insist(target, "abort", ref);
      await insist(source, "thaw", ref);
      return false;
    }
    resumed = await insist(target, "resume", ref);
    await onResumed();
    if (mode !== "stop-and-copy") await insist(target, "drainPages", ref);
    epoch++;
    await insist(source, "release", ref);
    at = { source: target, target: source };
    return true;
  }

  async function isWell(): Promise<void> {
    await client.answers(5);
    expect([client.wrong(), client.error()]).toEqual([0, undefined]);
    for (const host of [hosts.a, hosts.b]) {
      if (!host.isAlive()) await host.restart();
      await host.call("disarm");
    }
    const running = [];
    for (const host of [hosts.a, hosts.b])
      for (const one of await host.call<any[]>("list")) running.push(`${host.id} ${one.name} ${one.phase} ${one.epoch}`);
    expect(running).toEqual([`${at.source.id} hit running ${epoch}`]);
    await until("nothing to be left", 50, 4000, async () => ((await leftovers()).length === 0 ? true : undefined)).catch(() => undefined);
    expect(await leftovers()).toEqual([]);
  }

  /** Of the file systems that were made for the hosts' state. */
  const isOwnMount = (line: string) => ["a", "b"].some((id) => line.split(" ")[4] === join(hosts.dir, id));

  async function leftovers(): Promise<string[]> {
    const found: string[] = [];
    const spaces = (await run("ip", ["netns", "list"], { deadlineMs: 5000 })).stdout
      .split("\n")
      .filter((line) => line.startsWith(`ae-${prefix}`));
    if (spaces.length !== 1) found.push(`namespaces: ${spaces.join(" ")}`);
    for (const host of [hosts.a, hosts.b]) {
      const links = (await run("ip", ["-n", host.namespace, "-o", "link"], { deadlineMs: 5000 })).stdout;
      for (const name of links.match(/\bae[vh][0-9a-f]{8}/g) ?? [])
        if (host !== at.source || name.startsWith("aeh")) found.push(`link ${name}`);
      const inside = async (...argv: string[]) =>
        (await run("nsenter", [`--net=/run/netns/${host.namespace}`, ...argv], { deadlineMs: 5000 })).stdout.trim();
      const [tables, filters, link] = [
        await inside("nft", "list", "tables"),
        await inside("tc", "filter", "show", "dev", "eth0", "ingress"),
        await inside("ip", "-d", "link", "show", "eth0"),
      ];
      if (tables !== "") found.push(`nft on ${host.id}: ${tables}`);
      if (filters !== "") found.push(`tc on ${host.id}: ${filters}`);
      if (/\bxdp/.test(link)) found.push(`xdp on ${host.id}: ${link}`);
      const pipes = await run("find", [join(hosts.dir, host.id), "-xdev", "-type", "p"], { deadlineMs: 5000 });
      if (host !== at.source && pipes.stdout !== "") found.push(`pipes: ${pipes.stdout.trim()}`);
      for (const name of readdirSync(host.memoryDir))
        if (!["run", "hidden", "empty"].includes(name)) found.push(join(host.memoryDir, name));
    }
    const groups = ["/sys/fs/cgroup/freezer/aether", "/sys/fs/cgroup/aether"]
      .filter((dir) => existsSync(dir))
      .flatMap((dir) => readdirSync(dir));
    for (const name of groups)
      if (name.startsWith(`ae-${prefix}`) && name !== `ae-${prefix}${at.source.id}-hit`) found.push(`cgroup ${name}`);
    for (const name of existsSync("/sys/fs/bpf") ? readdirSync("/sys/fs/bpf") : []) if (name.includes("aether")) found.push(`pin ${name}`);
    const mounts = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(`${hosts.dir}/`) && !isOwnMount(line));
    if (mounts.length !== 1) found.push(...mounts);
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      const words = textOf(`/proc/${pid}/cmdline`).split("\0");
      if (words[1] === "shim") continue; // of the workload that runs: its command line tells how it was restored
      const isHelper =
        ["guard", "hold", "launch", "memory-source", "memory-target", "memory-keep", "pages-fetch"].includes(words[1] ?? "") ||
        words.some((word) => word.endsWith("/criu"));
      if (isHelper && words.some((word) => word.includes(prefix) || word === address)) found.push(words.slice(0, 4).join(" "));
    }
    for (const host of [hosts.a, hosts.b]) for (const pid of helpersOf(host, "pages-serve")) found.push(`pages-serve ${pid}`);
    return found;
  }

  return {
    hosts,
    address,
    client,
    get at() {
      return at;
    },
    get resumed() {
      return resumed;
    },
    nextRef: () => ({ migrationId: `mig-${moves + 1}`, workload: "hit", epoch }),
    migrationId: () => `mig-${moves}`,
    move: (...how) =>
      move(...how).finally(() => {
        trouble = undefined;
      }),
    onTrouble(work) {
      trouble = work;
    },
    isWell,
    async close() {
      client.close();
      await hosts.close();
    },
  };
}

/** Pids of our native program with this command, in the host's network. */
export function helpersOf(host: EngineHost, command: string): number[] {
  const { ino } = statSync(`/run/netns/${host.namespace}`);
  const isThere = (pid: string) => {
    if (textOf(`/proc/${pid}/cmdline`).split("\0")[1] !== command) return false;
    return statSync(`/proc/${pid}/ns/net`, { throwIfNoEntry: false })?.ino === ino;
  };
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && isThere(name))
    .map(Number);
}

/** criu itself at this verb for a host of this rig: what it makes of itself, tasks to be among them, has its command line as well, and perhaps a lower pid. */
export async function criuAt(rig: FaultRig, verb: "dump" | "restore"): Promise<number> {
  const isIt = (pid: number) => {
    const words = textOf(`/proc/${pid}/cmdline`).split("\0");
    return words[0]?.endsWith("/criu") && words.includes(verb) && words.some((word) => word.includes(rig.hosts.dir));
  };
  return until("criu to stand", 5, 5000, async () =>
    readdirSync("/proc")
      .map(Number)
      .find((pid) => pid > 0 && isIt(pid) && !isIt(parentOf(pid))),
  );
}

export const parentOf = (pid: number): number =>
  Number(
    textOf(`/proc/${pid}/stat`)
      .replace(/.*\) \S /, "")
      .split(" ")[0],
  );
export const childrenOf = (pid: number | undefined): number[] =>
  textOf(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number);

/** Fills a file system of a test's own; the answer makes room again. */
export async function fill(dir: string): Promise<() => Promise<void>> {
  const ballast = join(dir, "ballast");
  const filling = await run("dd", ["if=/dev/zero", `of=${ballast}`, "bs=64k"], { deadlineMs: 10_000, okCodes: [1] });
  expect(filling.stderr).toContain("No space left");
  return () => rm(ballast, { force: true });
}

export const tooLong = new Error("no answer in time");

export function within<T>(ms: number, work: Promise<T>): Promise<PromiseSettledResult<T>> {
  const timer = new Promise<never>((_, reject) => setTimeout(() => reject(tooLong), ms).unref());
  return Promise.race([work, timer]).then(
    (value) => ({ status: "fulfilled" as const, value }),
    (reason: unknown) => ({ status: "rejected" as const, reason }),
  );
}

export const textOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it has ended
  }
};

export function isStopped(host: EngineHost): boolean {
  return / T /.test(textOf(`/proc/${host.pid()}/stat`).replace(/\(.*\)/, ""));
}
