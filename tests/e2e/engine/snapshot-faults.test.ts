// Snapshots whose agent or helper is killed in each phase, or whose store is full: the workload runs on and its client is answered, what was there before can be restored, the next
// snapshot is made, and nothing is left. The same for a restore. Only with AETHER_CHAOS_ENGINE=all (npm run test:chaos:engine).
import { existsSync, readdirSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { run, until } from "@aether/kit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type CounterClient, openCounterClient } from "./counter-client.ts";
import { fill, isStopped, parentOf, textOf } from "./fault-rig.ts";
import { missingForEngine } from "./requirements.ts";
import { type EngineHost, openTopology, specOf, type Topology } from "./topology.ts";

const missing = process.env.AETHER_CHAOS_ENGINE === "all" ? missingForEngine() : "a part of npm run test:chaos:engine";
const prefix = "aez";
const address = "10.217.1.1";
const spec = specOf("kept", address, ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]);

const makingPoints = [
  "snapshot.copied",
  "snapshot.frozen",
  "snapshot.dumped",
  "snapshot.thawed",
  "snapshot.half_stored",
  "snapshot.before_manifest",
  "snapshot.after_manifest",
];
const restoringPoints = ["snapshot.verified", "snapshot.files_back", "snapshot.restored"];
/** As it was thrown here; the agent makes the first of the second. */
const full = expect.stringMatching(/^(ENOSPC|DISK_FULL)$/);

describe.skipIf(missing !== undefined)(`whatever breaks in a snapshot${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  let client: CounterClient;
  let store: string;
  let counter = 0;
  let last = "";
  const cli = async (...args: string[]) => (await run("redis-cli", ["-h", address, ...args], { deadlineMs: 30_000 })).stdout.trim();
  const filesIn = (...dir: string[]) => {
    const root = join(store, ...dir);
    return existsSync(root) ? readdirSync(root, { recursive: true, withFileTypes: true }).filter((one) => one.isFile()).length : 0;
  };

  /** Larger than what is read inside the stop alone, so that tracker and keeper have a part in it. */
  beforeAll(async () => {
    hosts = await openTopology(prefix, 217);
    store = join(hosts.dir, "snapshots");
    await mkdir(store, { recursive: true });
    await run("mount", ["-t", "tmpfs", "-o", "size=200m,mode=0700", "aether-test", store], { deadlineMs: 5000 });
    for (const host of [hosts.a, hosts.b]) expect(await host.call("canary")).toMatchObject({ reason: "", isAvailable: true });
    await hosts.a.call("start", spec, 1);
    await until("redis to answer", 50, 10_000, async () => {
      const asked = await run("redis-cli", ["-h", address, "ping"], { deadlineMs: 5000, okCodes: [0, 1] });
      return asked.stdout.includes("PONG") ? true : undefined;
    });
    await cli("eval", "for i=1,12000 do redis.call('set','k'..i,string.rep(redis.sha1hex(i),100)) end return 1", "0");
    client = await openCounterClient(address);
    await make();
  });
  afterEach(async () => {
    for (const host of [hosts.a, hosts.b]) {
      if (!host.isAlive()) continue;
      process.kill(host.pid() ?? 0, "SIGCONT"); // where a case ended before its time
      await host.call("disarm");
    }
  });
  afterAll(async () => {
    client?.close();
    if (store !== undefined) await run("umount", [store], { deadlineMs: 5000, okCodes: [0, 1, 32] });
    await hosts?.close();
  });

  /** One that succeeds; what was in the workload when it was made is known by its name. */
  async function make(): Promise<void> {
    last = `snap-${++counter}`;
    await cli("set", "made", last);
    await hosts.a.call("snapshot", "kept", last);
  }

  /** Begins one, and does `there` while its agent stands still at this point. Answers an object, since its end is still to come. */
  async function makeUpTo(id: string, point: string, there: () => Promise<unknown>): Promise<{ readonly ended: Promise<unknown> }> {
    await hosts.a.call("arm", point, { kind: "stop" });
    const ended = hosts.a.call("snapshot", "kept", id);
    ended.catch(() => undefined); // heard by the caller
    await until("the point", 5, 10_000, async () => (isStopped(hosts.a) ? true : undefined));
    await there().finally(() => process.kill(hosts.a.pid() ?? 0, "SIGCONT"));
    return { ended };
  }

  /** The workload runs with its client, the last whole snapshot is whole, another one can be made, and of the one that failed nothing is left. */
  async function isWell(failed: string): Promise<void> {
    const { a } = hosts;
    await client.answers(5);
    if (!a.isAlive()) {
      await a.restart();
      await a.call("canary"); // as an agent does when it starts: before it nobody's memory is tracked
    }
    await a.call("disarm");
    expect(await a.call("list")).toMatchObject([{ name: "kept", phase: "running", epoch: 1 }]);
    await a.call("verifySnapshot", last, spec);
    expect(existsSync(join(store, "pending", failed))).toBe(false);
    await make();
    await client.answers(5);
    expect([client.wrong(), client.error()]).toEqual([0, undefined]);
    const left = () => [
      ...readdirSync(a.memoryDir).filter((name) => name.startsWith("snapshot-")),
      // The last one's tracker and keeper wait for the next.
      ...processesOf(a)
        .filter((words) => !["memory-source", "memory-keep", "shim"].includes(words[1] ?? ""))
        .map((words) => words.slice(0, 3).join(" ")),
    ];
    await until("nothing to be left", 50, 4000, async () => (left().length === 0 ? true : undefined)).catch(() => undefined);
    expect(left()).toEqual([]);
    expect(processesOf(a).filter((words) => words[1] === "memory-source").length).toBeLessThan(2);
  }

  it.each(makingPoints)("the agent is killed at %s", async (point) => {
    const failed = `snap-${++counter}`;
    await hosts.a.call("arm", point, { kind: "kill" });
    await expect(hosts.a.call("snapshot", "kept", failed)).rejects.toThrow("ended");
    await client.answers(5); // before anybody has brought it back
    await isWell(failed);
    const isThere = existsSync(join(store, "manifests", failed));
    expect(isThere).toBe(point === "snapshot.after_manifest");
    if (isThere) await hosts.a.call("verifySnapshot", failed, spec);
    await hosts.b.call("removeSnapshot", failed); // as who keeps the list does with one that failed: what a kill left of it goes
  });

  it.each(makingPoints.slice(1, 3))("the agent hangs at %s: the workload runs again, and that is no snapshot", async (point) => {
    const failed = `snap-${++counter}`;
    const stoppedAtMs = performance.now();
    let silentMs = 0;
    const making = await makeUpTo(failed, point, async () => {
      await client.answers(5);
      silentMs = performance.now() - stoppedAtMs;
    });
    expect(silentMs, "a criu that only waits for its word, or has ended, is not waited for").toBeLessThan(4000);
    await expect(making.ended).rejects.toThrow();
    expect(existsSync(join(store, "manifests", failed))).toBe(false);
    await isWell(failed);
  });

  // Each at a moment at which there is something for it to do.
  const helpers = [
    ["memory-source", "snapshot.copied"],
    ["memory-keep", "snapshot.copied"],
    ["memory-source", "snapshot.frozen"],
    ["memory-keep", "snapshot.thawed"],
    ["guard", "snapshot.frozen"],
    ["criu", "snapshot.frozen"],
  ] as const;
  it.each(helpers)("its %s is killed at %s", async (who, point) => {
    const failed = `snap-${++counter}`;
    const isIt = (words: string[]) => (who === "criu" ? words[0]?.endsWith("/criu") === true : words[1] === who);
    const making = await makeUpTo(failed, point, async () => {
      const found = helpersOf(hosts.a).filter(isIt);
      expect(found.length).toBeGreaterThan(0);
      for (const { pid } of found) process.kill(pid, "SIGKILL");
    });
    await expect(making.ended).rejects.toThrow();
    expect(existsSync(join(store, "manifests", failed))).toBe(false);
    await isWell(failed);
  });

  it.each(["snapshot.copied", "snapshot.thawed", "snapshot.half_stored", "snapshot.before_manifest"])(
    "the store is full from %s on: it fails, leaves nothing behind, and old ones can still be swept",
    async (point) => {
      const failed = `snap-${++counter}`;
      await cli("eval", `for i=1,12000 do redis.call('set','k'..i,string.rep(redis.sha1hex('${failed}'..i),100)) end return 1`, "0");
      const before = filesIn("chunks");
      let free = async () => {};
      const making = await makeUpTo(failed, point, async () => {
        free = await fill(store);
      });
      await expect(making.ended).rejects.toMatchObject({ code: full });
      expect([filesIn("chunks"), filesIn("pending")]).toEqual([before, 0]);
      // Nor does the next one get anywhere, which nobody stops.
      await hosts.a.call("disarm");
      await expect(hosts.a.call("snapshot", "kept", `${failed}-again`)).rejects.toMatchObject({ code: full });
      expect([filesIn("chunks"), filesIn("pending")]).toEqual([before, 0]);
      await client.answers(5);
      const [oldest] = readdirSync(join(store, "manifests")).filter((name) => name !== last);
      if (oldest !== undefined) await hosts.a.call("removeSnapshot", oldest);
      expect(existsSync(join(store, "sweep"))).toBe(false);
      await free();
      await isWell(failed);
    },
  );

  describe("and is restored elsewhere", () => {
    beforeAll(async () => {
      client.close();
      await hosts.a.call("remove", "kept");
    });
    const isBack = async () => {
      expect(await cli("get", "made")).toBe(last);
      expect(await hosts.b.call("list")).toMatchObject([{ name: "kept", phase: "running" }]);
    };
    let epoch = 1;

    it.each(restoringPoints)("the agent is killed at %s: nothing runs half, and it is restored by the next", async (point) => {
      const { b } = hosts;
      await b.call("arm", point, { kind: "kill" });
      await expect(b.call("restoreSnapshot", last, spec, ++epoch)).rejects.toThrow("ended");
      await b.restart();
      expect((await b.call<any[]>("list")).filter(({ phase }) => phase === "running")).toEqual([]);
      await b.call("restoreSnapshot", last, spec, ++epoch);
      await isBack();
      await b.call("remove", "kept");
    });

    it("there is no room for its images: nothing runs, nothing is left, and it is restored when there is", async () => {
      const { b } = hosts;
      await run("mount", ["-t", "tmpfs", "-o", "size=1m,mode=0700", "aether-test", b.memoryDir], { deadlineMs: 5000 });
      await expect(b.call("restoreSnapshot", last, spec, ++epoch)).rejects.toMatchObject({ code: full });
      expect(readdirSync(b.memoryDir)).toEqual([]);
      expect((await b.call<any[]>("list")).filter(({ phase }) => phase === "running")).toEqual([]);
      await run("umount", [b.memoryDir], { deadlineMs: 5000 });
      await b.call("restoreSnapshot", last, spec, ++epoch);
      await isBack();
      await b.call("remove", "kept");
    });
  });
});

/** Everybody's command lines. */
const everybody = (): (string[] & { pid: number })[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => Object.assign(textOf(`/proc/${pid}/cmdline`).split("\0"), { pid: Number(pid) }));
/** Those that the agent has started. */
const helpersOf = (host: EngineHost) => everybody().filter(({ pid }) => parentOf(pid) === host.pid());
/** Those that name this host, whoever started them. */
const processesOf = (host: EngineHost) => everybody().filter((words) => words.some((word) => word.includes(`${prefix}${host.id}-`)));
