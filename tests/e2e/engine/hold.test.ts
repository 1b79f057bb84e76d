// Every way of holding packets, forced: the client's connection lives through a move with each of them, and what the two kernels saw of the
// move is in the answers.
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CounterClient, openCounterClient } from "./counter-client.ts";
import { missingForEngine } from "./requirements.ts";
import { openTopology, specOf, type Topology } from "./topology.ts";

const missing = missingForEngine();
const hasHelper = existsSync(join(import.meta.dirname, "../../../native/build/aether-bpf"));
const redis = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dbfilename", "aether-hold-test.rdb"];
const address = "10.212.1.1";

describe.skipIf(missing !== undefined)(`holding packets${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  let dir: string;
  let client: CounterClient;
  let epoch = 1;
  const spec = specOf("held", address, redis);

  async function move(from: "a" | "b", to: "a" | "b", whenPrepared: () => Promise<void> = async () => undefined) {
    const ref = { migrationId: `hold-${epoch}`, workload: spec.name, epoch };
    const ready = await hosts[to].call("prepare", ref, spec, from, "stop-and-copy");
    await whenPrepared();
    const peer = { nodeId: to, address: ready.linkAddress, port: ready.linkPort };
    await hosts[from].call("copy", ref, peer, "stop-and-copy");
    const [freeze] = await Promise.all([
      hosts[from].call("freeze", ref, peer, "stop-and-copy"),
      hosts[to].call("restore", ref, "stop-and-copy"),
    ]);
    const resumed = await hosts[to].call("resume", ref);
    await hosts[from].call("release", ref);
    epoch++;
    return { ready, freeze, resumed };
  }

  beforeAll(async () => {
    // With a criu that does not know how to wait for a word, as a distribution's: everything works with that too.
    dir = await mkdtemp(join(tmpdir(), "aether-hold-"));
    const stock = join(dir, "criu");
    await writeFile(stock, '#!/bin/sh\n[ "$1" = --help ] && exit 0\nexec /opt/aether/criu/bin/criu "$@"\n', { mode: 0o755 });
    hosts = await openTopology("aeh", 212, { criu: stock });
    await hosts.a.call("start", spec, 1);
    for (let i = 0; ; i++) {
      const asked = await run("redis-cli", ["-h", address, "ping"], { deadlineMs: 5000, okCodes: [0, 1] });
      if (asked.stdout.includes("PONG")) break;
      if (i === 100) throw new Error("redis does not answer");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    client = await openCounterClient(address);
  });
  afterAll(async () => {
    client?.close();
    await hosts?.close();
    await rm(dir, { recursive: true, force: true });
  });

  it.each(["queue", "xdp_icmp", "tc_drop", "nft_drop"])("by %s: one connection, no wrong answer", async (method) => {
    const needsHelper = method === "xdp_icmp" || method === "tc_drop";
    const expected = needsHelper && !hasHelper ? "none" : method;
    await hosts.b.kill();
    await hosts.b.restart({ TEST_PACKET_HOLD: method });
    await client.answers(20);
    const there = await move("a", "b");
    expect(there.ready.holdMethod).toBe(expected);
    expect(there.resumed).toMatchObject({ holdMethod: expected, resetsSent: 0 });
    if (method === "queue") expect(there.resumed.packetsReplayed).toBe(there.resumed.packetsHeld);
    else expect(there.resumed.packetsReplayed).toBe(0);
    await client.answers(20);
    if (hasHelper) {
      expect(there.freeze.kernel).toMatchObject({ source: "ebpf", resetsSent: 0, resetsReceived: 0 });
      expect(there.resumed.kernel).toMatchObject({ source: "ebpf", resetsSent: 0, resetsReceived: 0 });
      // The kernel's blackout lies inside what the two agents measured around it, but for the first task's waiting for a processor after it was let go.
      expect(there.resumed.blackoutMs).toBeGreaterThan(0);
      expect(there.resumed.blackoutMs).toBeLessThan(there.resumed.freezeMs + 2 * there.resumed.clockErrorMs + 200);
    } else expect(there.resumed).toMatchObject({ blackoutMs: null, kernel: { source: "proc", stoppedAtMs: null } });
    await move("b", "a");
    await client.answers(20);
    expect([client.wrong(), client.error()]).toEqual([0, undefined]);
    const left = await run("nsenter", ["--net=/run/netns/aeh-b", "nft", "list", "tables"], { deadlineMs: 5000 });
    expect(left.stdout).not.toContain("aether-hold");
  });

  const ip = (...args: string[]) => run("ip", args, { deadlineMs: 5000 });
  const hardwareAddress = async (of: "a" | "b") =>
    /ether (\S+)/.exec((await ip("-n", `aeh-${of}`, "link", "show", "eth0")).stdout)?.[1] ?? "";

  it("a neighbour that takes the target for the workload's host misses nothing before the cut", async () => {
    const here = (await hosts.a.call<{ name: string }[]>("list")).some((one) => one.name === spec.name) ? "a" : "b";
    const there = here === "a" ? "b" : "a";
    await move(here, there, async () => {
      await ip("neigh", "replace", address, "lladdr", await hardwareAddress(there), "dev", "aehbr", "nud", "permanent");
      await client.answers(20).finally(() => ip("neigh", "del", address, "dev", "aehbr"));
    });
    await client.answers(20);
    expect([client.wrong(), client.error()]).toEqual([0, undefined]);
    await move(there, here);
  });

  it("a workload that starts where its address was not before is found at once", async () => {
    const other = specOf("announced", "10.212.1.2", ["sleep", "1000"]);
    await ip("neigh", "replace", other.address, "lladdr", await hardwareAddress("a"), "dev", "aehbr", "nud", "stale");
    await hosts.b.call("start", other, 1);
    const known = await hardwareAddress("b");
    await expect.poll(async () => (await ip("neigh", "show", other.address, "dev", "aehbr")).stdout, { timeout: 5000 }).toContain(known);
    await hosts.b.call("remove", other.name);
  });

  it("a helper that is killed harms nothing, and is there again", async () => {
    const pids = (await run("pgrep", ["-f", "native/build/aether-bpf$"], { deadlineMs: 5000, okCodes: [0, 1] })).stdout
      .split("\n")
      .filter(Boolean);
    const own = [];
    for (const pid of pids) {
      const namespace = await run("readlink", [`/proc/${pid}/ns/net`], { deadlineMs: 5000, okCodes: [0, 1] });
      const ours = await run("nsenter", ["--net=/run/netns/aeh-a", "readlink", "/proc/self/ns/net"], { deadlineMs: 5000 });
      if (namespace.stdout === ours.stdout) own.push(Number(pid));
    }
    if (!hasHelper) return;
    expect(own).toHaveLength(1);
    process.kill(own[0]!, "SIGKILL");
    await client.answers(20);
    const first = await move("a", "b");
    expect(["ebpf", "proc"]).toContain(first.freeze.kernel.source);
    await move("b", "a");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const second = await move("a", "b");
    expect(second.freeze.kernel.source).toBe("ebpf");
    await client.answers(20);
    expect([client.wrong(), client.error()]).toEqual([0, undefined]);
  });
});
