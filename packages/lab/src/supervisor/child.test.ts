import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, until } from "@aether/kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Child, startChild } from "./child.ts";
import { endProcess, isAlive, listProcesses, type ProcessRef, refOf, signalProcess } from "./process.ts";
import { isSupervised, keepRecord, readRecord } from "./record.ts";

let dir: string;
let child: Child | undefined;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-child-"));
});
afterEach(async () => {
  await child?.stop();
  child = undefined;
  await rm(dir, { recursive: true });
});

const refs: ProcessRef[] = [];
function launch(script: string): Child {
  refs.length = 0;
  child = startChild({
    name: "test",
    command: [process.execPath, "-e", script],
    environment: { AETHER_TEST_MARK: dir },
    logFile: join(dir, "logs/test.log"),
    onStart: (ref) => refs.push(ref),
    log: silentLogger,
  });
  return child;
}
const times = (count: number) => until("starts", 10, 8000, async () => (refs.length >= count ? true : undefined));

describe("a kept child", () => {
  it("is started again when it dies, and says what it wrote last", async () => {
    const kept = launch("console.log('hello from', process.pid); process.exit(3)");
    await times(2);
    expect(kept.deaths).toBeGreaterThanOrEqual(1);
    expect(kept.tail(5)).toContain("hello from");
    expect(new Set(refs.map((ref) => ref.pid)).size).toBe(refs.length);
  });

  it("is started again after a kill -9, in a session of its own and with the cloud's mark", async () => {
    launch("setInterval(() => {}, 1000)");
    await times(1);
    const first = refs[0]!;
    const view = listProcesses().find(({ ref }) => ref.pid === first.pid);
    expect(view?.environment).toContain(`AETHER_TEST_MARK=${dir}`);
    expect(view?.parentPid).toBe(process.pid);
    signalProcess(first, "SIGKILL");
    await times(2);
    expect(isAlive(first)).toBe(false);
    expect(isAlive(refs[1]!)).toBe(true);
  });

  it("stays down once it is stopped, even when it ignores SIGTERM", async () => {
    const stubborn = startChild({
      name: "stubborn",
      command: [process.execPath, "-e", "process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)"],
      environment: {},
      logFile: join(dir, "stubborn.log"),
      graceMs: 100,
      onStart: (ref) => refs.push(ref),
      log: silentLogger,
    });
    await until("its handler", 10, 5000, async () => (stubborn.tail(1) === "up" ? true : undefined));
    await stubborn.stop();
    expect(isAlive(refs.at(-1)!)).toBe(false);
    expect(stubborn.deaths).toBe(0);
  });

  it("rotates a log that has grown", async () => {
    await writeFile(join(dir, "big.log"), Buffer.alloc(6 << 20, "x"));
    child = startChild({
      name: "big",
      command: ["/bin/true"],
      environment: {},
      logFile: join(dir, "big.log"),
      onStart: () => {},
      log: silentLogger,
    });
    expect((await readFile(join(dir, "big.log.1"))).length).toBe(6 << 20);
  });
});

describe("a process reference", () => {
  it("does not take another process for the one that had its pid", async () => {
    const sleeper = spawn("sleep", ["30"]);
    const ref = refOf(sleeper.pid!)!;
    signalProcess({ pid: ref.pid, startTicks: "1" }, "SIGKILL");
    expect(isAlive(ref)).toBe(true);
    expect(await endProcess(ref, 1000)).toBe(true);
    expect(refOf(ref.pid)).toBeUndefined(); // a zombie is not alive either
  });
});

describe("the record", () => {
  const first = {
    state: "starting",
    prefix: "x",
    subnet: "10.1.0.0/16",
    nodeCount: 2,
    url: "http://127.0.0.1:1",
    processes: {},
    progress: [],
    missing: [],
  } as const;
  it("is on disk after each change, and knows whether its supervisor lives", async () => {
    const keeper = await keepRecord(dir, { ...first, progress: [], missing: [], supervisor: refOf(process.pid)! });
    await Promise.all([keeper.change({ state: "ready" }), keeper.change({ url: "http://127.0.0.1:2" })]);
    const read = await readRecord(dir);
    expect(read).toMatchObject({ state: "ready", url: "http://127.0.0.1:2" });
    expect(isSupervised(read!)).toBe(true);
    expect(isSupervised({ ...read!, bootId: "another boot" })).toBe(false);
    expect(isSupervised({ ...read!, supervisor: { pid: process.pid, startTicks: "1" } })).toBe(false);
  });
  it("is absent, or refused when it is not a record", async () => {
    expect(await readRecord(dir)).toBeUndefined();
    await writeFile(join(dir, "cloud.json"), '{"version":2}');
    await expect(readRecord(dir)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });
});
