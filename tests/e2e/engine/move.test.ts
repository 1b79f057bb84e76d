// One workload between two hosts, with real runc and criu: what must arrive, and what must happen when something breaks on the way.
import { existsSync } from "node:fs";
import { chmod, open, readdir, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCounterClient } from "./counter-client.ts";
import { missingForEngine } from "./requirements.ts";
import { type EngineHost, nativeWithoutTls, openTopology, specOf, type Topology } from "./topology.ts";

const missing = missingForEngine();
const target = { lazyPages: true, cpuFeatures: [], criuVersion: "4.2.1" };
// A database file that no other redis of this machine has: the rootfs is the machine's own.
const redis = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dbfilename", "aether-engine-test.rdb"];
let epochOf: Record<string, number> = {};
let counter = 0;

interface Move {
  freeze: any;
  restored: any;
  resumed: any;
}

async function prepare(spec: any, from: EngineHost, to: EngineHost, mode: string) {
  const ref = { migrationId: `mig-${++counter}`, workload: spec.name, epoch: epochOf[spec.name] ?? 1 };
  const ready = await to.call("prepare", ref, spec, from.id, mode);
  return { ref, peer: { nodeId: to.id, address: ready.linkAddress, port: ready.linkPort } };
}

async function move(spec: any, from: EngineHost, to: EngineHost, mode = "stop-and-copy"): Promise<Move> {
  const { ref, peer } = await prepare(spec, from, to, mode);
  await from.call("copy", ref, peer, mode);
  const [freeze, restored] = await Promise.all([from.call("freeze", ref, peer, mode), to.call("restore", ref, mode)]);
  const resumed = await to.call("resume", ref);
  if (mode === "post-copy") await to.call("drainPages", ref);
  await from.call("release", ref);
  epochOf[spec.name] = ref.epoch + 1;
  return { freeze, restored, resumed };
}

const comparable = ({ images: _i, memoryBytes: _m, ...rest }: any) => rest;

async function waitFor(host: string): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const asked = await run("redis-cli", ["-h", host, "ping"], { deadlineMs: 5000, okCodes: [0, 1] });
    if (asked.stdout.includes("PONG")) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${host} does not answer`);
}

const cli = async (host: string, ...args: string[]) =>
  (await run("redis-cli", ["-h", host, ...args], { deadlineMs: 20_000 })).stdout.trim();

describe.skipIf(missing !== undefined)(`moving a workload${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  let hang: string;
  beforeAll(async () => {
    epochOf = {};
    hosts = await openTopology("aet", 211);
    hang = join(hosts.dir, "hang");
    // criu that hangs in `dump` while the file is there, and is the real one otherwise.
    const wrapper = join(hosts.dir, "criu");
    await writeFile(wrapper, `#!/bin/sh\n[ "$1" = dump ] && [ -e ${hang} ] && exec sleep 600\nexec /opt/aether/criu/bin/criu "$@"\n`);
    await chmod(wrapper, 0o755);
    expect(await hosts.a.call("canary")).toMatchObject({ reason: "", isAvailable: true });
    expect(await hosts.b.call("canary")).toMatchObject({ reason: "", isAvailable: true });
  });
  afterAll(() => hosts?.close());

  it("redis goes there and back ten times under load: connection kept, counter whole, dataset equal, output continued", async () => {
    const spec = specOf("db", "10.211.1.1", redis);
    await hosts.a.call("start", spec, 1);
    await waitFor("10.211.1.1");
    await cli("10.211.1.1", "eval", "for i=1,5000 do redis.call('set','k'..i,string.rep('x',500)..i) end return 1", "0");
    const digest = await cli(
      "10.211.1.1",
      "eval",
      "return redis.sha1hex(table.concat(redis.call('mget',unpack({'k1','k77','k4999'}))))",
      "0",
    );
    const client = await openCounterClient("10.211.1.1");
    try {
      let [from, to] = [hosts.a, hosts.b];
      for (let i = 0; i < 10; i++) {
        await client.answers(20);
        if (i === 8) {
          await to.kill();
          await to.restart({ TEST_NATIVE: await nativeWithoutTls(hosts.dir) }); // pages go through the agents
        }
        const done = await move(spec, from, to, i % 3 === 2 ? "post-copy" : "stop-and-copy");
        expect(comparable(done.restored.manifest)).toEqual(comparable(done.freeze.manifest));
        expect(done.restored.manifest.images).toEqual(done.freeze.manifest.images);
        expect(done.resumed).toMatchObject({ resetsSent: 0, packetsDropped: 0 });
        expect(done.resumed.packetsReplayed).toBe(done.resumed.packetsHeld);
        // Where the client's connection stands: as criu's checkpoint has it, and as the target's kernel has it.
        const sequences = done.resumed.leaves.find(({ section }: any) => section === "sequences");
        expect(sequences.leaves).toEqual([expect.stringMatching(/^10\.211\.1\.1:6379 10\.211\.0\.1:\d+ sent=[1-9]\d* received=[1-9]\d*$/)]);
        await client.answers(20);
        [from, to] = [to, from];
      }
      expect(client.wrong()).toBe(0);
      expect(client.error()).toBeUndefined();
      expect(
        await cli("10.211.1.1", "eval", "return redis.sha1hex(table.concat(redis.call('mget',unpack({'k1','k77','k4999'}))))", "0"),
      ).toBe(digest);
      expect(await cli("10.211.1.1", "dbsize")).toBe("5001");
      await hosts.b.kill();
      await hosts.b.restart();
      expect(await hosts.b.call("list")).toEqual([]);
      expect(await hosts.a.call("logs", "db")).toContain("Ready to accept connections");
      expect((await hosts.a.call("exec", "db", ["redis-cli", "ping"])).stdout.trim()).toBe("PONG");
      // It lives on the machine's own root, where everything but our state and what else is to be hidden can be seen.
      const seen = (await hosts.a.call("exec", "db", ["ls", hosts.dir])).stdout.split("\n");
      expect(seen).toContain("b");
      for (const name of ["a", "a.json", "snapshots"]) expect(seen).not.toContain(name);
    } finally {
      client.close();
      await hosts.a.call("remove", "db");
    }
  });

  it("a tree of processes arrives as it left, with its environment", async () => {
    const script = "sleep 500 & sh -c 'sleep 501 & wait' & wait";
    const spec = specOf("tree", "10.211.1.2", ["sh", "-c", script], { env: { WHO: "tree" } });
    await hosts.a.call("start", spec, 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    // Devices and links, and a folder, a pipe and a file that a program has made in memory: all of a tmpfs travels.
    const made = "mkdir -m 2750 /dev/own && mkfifo -m 640 /dev/own/pipe && chown 7:8 /dev/own/pipe && echo kept > /dev/shm/file";
    await hosts.a.call("exec", "tree", ["sh", "-c", made]);
    const shown = ["sh", "-c", "stat -c '%N %F %a %u:%g %t:%T' /dev /dev/* /dev/own/* /dev/shm/*; cat /dev/shm/file; : > /dev/null"];
    const before = await hosts.a.call("exec", "tree", shown);
    expect(before.stdout).toContain("'/dev/null' character special file 666 0:0 1:3");
    const done = await move(spec, hosts.a, hosts.b);
    expect(await hosts.b.call("exec", "tree", shown)).toMatchObject({ exitCode: 0, stdout: before.stdout });
    expect(done.freeze.manifest.processCount).toBeGreaterThanOrEqual(4);
    expect(done.restored.manifest.processDigest).toBe(done.freeze.manifest.processDigest);
    const listed = await hosts.b.call("exec", "tree", ["sh", "-c", "cat /proc/1/environ | tr '\\0' '\\n' | grep WHO"]);
    expect(listed.stdout.trim()).toBe("WHO=tree");
    await hosts.b.call("remove", "tree");
  });

  it("a bound on its processes travels with it, also when it has as many as it may have", async () => {
    const spec = specOf("bound", "10.211.1.8", ["sh", "-c", "for i in $(seq 23); do sleep 600 & done; wait"], { pidsLimit: 24 });
    const bounds = async () => {
      const root = existsSync("/sys/fs/cgroup/pids/aether") ? "/sys/fs/cgroup/pids/aether" : "/sys/fs/cgroup/aether";
      const names = (await readdir(root)).filter((name) => name.endsWith("-bound"));
      return Promise.all(names.map(async (name) => (await readFile(join(root, name, "pids.max"), "utf8")).trim()));
    };
    await hosts.a.call("start", spec, 1);
    await expect.poll(async () => (await hosts.a.call("usage", "bound")).processCount).toBe(24);
    expect(await hosts.a.call("exec", "bound", ["sh", "-c", "true & wait"])).toMatchObject({ stderr: expect.stringContaining("fork") });
    expect(await bounds()).toEqual(["24"]);
    const done = await move(spec, hosts.a, hosts.b);
    expect(done.restored.manifest.processCount).toBe(24);
    expect(await bounds()).toEqual(["24"]);
    await hosts.b.call("remove", "bound");
  });

  it("a process that appends with fsync loses no line and writes none twice", async () => {
    const spec = specOf("writer", "10.211.1.3", [
      "/usr/bin/perl",
      "-e",
      "use IO::Handle; open(F,'>>','/var/lines'); F->autoflush(1); $i=0; while(1){$i++; print F \"$i\\n\"; F->sync; select(undef,undef,undef,0.002)}",
    ]);
    await hosts.a.call("start", spec, 1);
    await new Promise((resolve) => setTimeout(resolve, 400));
    const done = await move(spec, hosts.a, hosts.b);
    expect(done.restored.manifest.filesDigest).toBe(done.freeze.manifest.filesDigest);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const lines = (await hosts.b.call("exec", "writer", ["cat", "/var/lines"])).stdout.trim().split("\n").map(Number);
    expect(lines.length).toBeGreaterThan(50);
    expect(lines.slice(0, -1)).toEqual(lines.slice(0, -1).map((_: number, index: number) => index + 1));
    await hosts.b.call("remove", "writer");
  });

  it("a byte of a file that arrived wrong is found before the commit, and the source goes on", async () => {
    const spec = specOf("flip", "10.211.1.7", ["/bin/sh", "-c", "echo precious > /var/kept; ln /var/kept /var/same; exec sleep 600"]);
    await hosts.a.call("start", spec, 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { ref, peer } = await prepare(spec, hosts.a, hosts.b, "stop-and-copy");
    await hosts.a.call("copy", ref, peer, "stop-and-copy");
    const arrived = join(hosts.dir, "b/workloads/flip/upper/var/kept");
    const { atime, mtime, ino } = await stat(arrived);
    expect((await stat(join(hosts.dir, "b/workloads/flip/upper/var/same"))).ino).toBe(ino);
    const file = await open(arrived, "r+");
    await file.write("P", 0);
    await file.close();
    await utimes(arrived, atime, mtime); // as a disk does it: without a trace in the times that people see
    const [frozen, restored] = await Promise.all([
      hosts.a.call("freeze", ref, peer, "stop-and-copy"),
      hosts.b.call("restore", ref, "stop-and-copy"),
    ]);
    expect(restored.manifest.root).not.toBe(frozen.manifest.root);
    const unequal = (name: string) =>
      frozen.manifest.sections.find((one: any) => one.name === name).root !==
      restored.manifest.sections.find((one: any) => one.name === name).root;
    expect(["images", "files", "processes", "descriptors", "sockets", "sequences"].filter(unequal)).toEqual(["files"]);
    await hosts.b.call("abort", ref);
    await hosts.a.call("thaw", ref);
    expect((await hosts.a.call("exec", "flip", ["cat", "/var/kept"])).stdout).toBe("precious\n");
    await hosts.a.call("remove", "flip");
  });

  it("what cannot be dumped is refused by the preflight, by name", async () => {
    const spec = specOf("tun", "10.211.1.4", ["/usr/bin/perl", "-e", 'syscall(425, 4, my $p = "\\0" x 120); sleep 600']);
    await hosts.a.call("start", spec, 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const report = await hosts.a.call("preflight", "tun", "auto", target);
    expect(report.blockers.map((one: any) => one.code)).toContain("IO_URING_IN_USE");
    await hosts.a.call("remove", "tun");
  });

  it("criu hangs in the dump: its deadline ends it", async () => {
    const other = await openTopology("aeh", 212, { criu: join(hosts.dir, "criu") });
    try {
      const held = specOf("held", "10.212.1.1", redis);
      await other.a.call("start", held, 1);
      await waitFor("10.212.1.1");
      const client = await openCounterClient("10.212.1.1");
      await client.answers(10);
      await writeFile(hang, "");
      const ref = { migrationId: "mig-hang", workload: "held", epoch: 1 };
      const ready = await other.b.call("prepare", ref, held, "a", "stop-and-copy");
      const peer = { nodeId: "b", address: ready.linkAddress, port: ready.linkPort };
      await other.a.call("copy", ref, peer, "stop-and-copy");
      await expect(other.a.call("freeze", ref, peer, "stop-and-copy")).rejects.toMatchObject({ code: "TOOL_TIMEOUT" });
      await other.b.call("abort", ref);
      await client.answers(10);
      expect(client.wrong()).toBe(0);
      client.close();
    } finally {
      await other.close();
    }
  });

  it("snapshots cost what changed, are restored on the other host after a crash, and one flipped byte is refused, kept and named", async () => {
    const spec = specOf("snap", "10.211.1.6", [...redis, "--appendonly", "yes", "--dir", "/var"]);
    await hosts.a.call("start", spec, 1);
    await waitFor("10.211.1.6");
    await cli("10.211.1.6", "eval", "for i=1,20000 do redis.call('set','k'..i,string.rep(i..'-',40)) end return 1", "0");
    await cli("10.211.1.6", "set", "kept", "yes");
    const first = await hosts.a.call("snapshot", "snap", "snap-1");
    const second = await hosts.a.call("snapshot", "snap", "snap-2");
    expect(first.newChunkCount).toBeGreaterThan(0);
    expect(second.newChunkCount).toBeLessThan(first.newChunkCount / 2); // nothing but the process's own bookkeeping changed
    expect(second.storedBytes).toBeLessThan(first.storedBytes / 2);
    const secrets = await run("grep", ["-rl", "string.rep\\|1234-1234", join(hosts.dir, "snapshots")], {
      deadlineMs: 20_000,
      okCodes: [0, 1],
    });
    expect(secrets.stdout).toBe("");
    expect(await cli("10.211.1.6", "set", "kept", "later")).toBe("OK");

    // Killed in the middle of one: the workload goes on, nothing counts of what was begun.
    await hosts.a.kill();
    await hosts.a.restart({ AETHER_FAULTS: "snapshot.frozen=kill" });
    await expect(hosts.a.call("snapshot", "snap", "snap-3")).rejects.toThrow();
    expect(await cli("10.211.1.6", "get", "kept")).toBe("later"); // also before anybody is back
    await hosts.a.restart();
    expect(await cli("10.211.1.6", "get", "kept")).toBe("later");
    const third = await hosts.a.call("snapshot", "snap", "snap-4"); // after a restart too, it knows what there is
    expect(third.newChunkCount).toBeLessThan(first.newChunkCount / 2);

    await hosts.a.call("remove", "snap");
    await hosts.b.call("removeSnapshot", "snap-1"); // what others need of it stays
    await hosts.b.call("verifySnapshot", "snap-2", spec);
    await hosts.b.call("restoreSnapshot", "snap-2", spec, 2);
    expect(await cli("10.211.1.6", "get", "kept")).toBe("yes");
    expect(await cli("10.211.1.6", "dbsize")).toBe("20001");
    expect((await hosts.b.call("logs", "snap")).length).toBeGreaterThan(0);
    await hosts.b.call("remove", "snap");

    const chunks = join(hosts.dir, "snapshots/chunks");
    const largest = (await run("find", [chunks, "-type", "f", "-size", "+20k"], { deadlineMs: 10_000 })).stdout.trim().split("\n").sort();
    const flipped: string[] = [];
    for (const chunk of largest) {
      const bytes = await readFile(chunk);
      bytes[100] = (bytes[100] ?? 0) ^ 1;
      await writeFile(chunk, bytes);
      flipped.push(chunk);
    }
    await expect(hosts.b.call("verifySnapshot", "snap-4", spec)).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
    await expect(hosts.b.call("restoreSnapshot", "snap-4", spec, 3)).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
    expect((await hosts.b.call("list")).filter((one: any) => one.phase === "running")).toEqual([]);
    expect((await stat(flipped[0] ?? "")).size).toBeGreaterThan(0);
    await Promise.all(["snap-2", "snap-4"].map((id) => hosts.b.call("removeSnapshot", id)));
    await hosts.b.call("removeSnapshot", "snap-2");
    expect((await run("find", [chunks, "-type", "f"], { deadlineMs: 10_000 })).stdout.trim()).toBe("");
  });
});
