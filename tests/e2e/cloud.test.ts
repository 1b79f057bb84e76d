// The local cloud as a user has it: the built command, real namespaces, runc and CRIU, a workload of one's own beside the demo. It has a
// prefix, a subnet, a port and a directory of its own, so that it can run beside another cloud.
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, sleep, until } from "@aether/kit";
import { createLoadClient } from "@aether/lab";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { bin, missingForCloud } from "../local-cloud.ts";

const prefix = "et";
const subnet = "10.78.0.0/16";

const missing = await missingForCloud();

let dir: string;
let port: number;

interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** stdout as the one JSON document that it must be. */
  json<T = Record<string, unknown>>(): T;
}

function aether(...args: string[]): Promise<Answer> {
  return new Promise((resolve) => {
    const env = { ...process.env, AETHER_DIR: dir };
    execFile(process.execPath, [bin, ...args], { env, timeout: 150_000, maxBuffer: 16 << 20 }, (failure, out, err) => {
      const code = failure === null ? 0 : typeof failure.code === "number" ? failure.code : -1;
      resolve({ code, out, err, json: () => JSON.parse(out) });
    });
  });
}

const up = (...args: string[]) =>
  aether("up", "--detach", "--json", "--prefix", prefix, "--subnet", subnet, "--port", String(port), ...args);

/** Everything on the machine that carries this cloud's marks. */
async function traces(): Promise<string[]> {
  const found: string[] = [];
  const isOurs = (name: string) => new RegExp(`^(ae-|aether-)?${prefix}-(fabric|host|n\\d)`).test(name);
  const list = (path: string) => (existsSync(path) ? readdirSync(path) : []);
  found.push(
    ...list("/run/netns")
      .filter(isOurs)
      .map((name) => `namespace ${name}`),
  );
  found.push(
    ...list("/sys/class/net")
      .filter(isOurs)
      .map((name) => `link ${name}`),
  );
  found.push(
    ...list("/dev/shm")
      .filter(isOurs)
      .map((name) => `folder /dev/shm/${name}`),
  );
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  found.push(
    ...mounts.filter((line) => line.includes(dir) || line.includes(`aether-${prefix}-n`)).map((line) => `mount ${line.split(" ")[4]}`),
  );
  const { stdout } = await run("find", ["/sys/fs/cgroup", "-maxdepth", "6", "-type", "d", "-name", `ae-${prefix}-*`], {
    deadlineMs: 20_000,
    okCodes: [0, 1],
  });
  found.push(
    ...stdout
      .split("\n")
      .filter(Boolean)
      .map((path) => `cgroup ${path}`),
  );
  for (const pid of list("/proc").filter((name) => /^\d+$/.test(name) && name !== String(process.pid))) {
    const read = async (file: string) => (await readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "")).split("\0");
    const [commandLine, environment] = [await read("cmdline"), await read("environ")];
    if (environment.includes(`AETHER_CLOUD=${dir}`) || commandLine.some((word) => word.includes(dir)))
      found.push(`process ${pid} ${commandLine.join(" ")}`);
  }
  return found;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-cloud-"));
  port = await freePort();
});
afterAll(async () => {
  if (missing === undefined) await aether("down", "--prefix", prefix);
  await rm(dir, { recursive: true, force: true });
});

const nodeOf = async (name: string) =>
  (await aether("inspect", name, "--json")).json<{ workload: { nodeId: string; epoch: string } }>().workload;

describe.skipIf(missing !== undefined)(`a local cloud${missing ? ` (skipped: ${missing})` : ""}`, () => {
  it("comes up with two nodes and a demo that serves its client, in under 60 s", async () => {
    expect(await traces()).toEqual([]);
    const startedMs = performance.now();
    const answer = await up("--nodes", "2");
    expect(answer.code, answer.err).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(60_000);
    expect(answer.json()).toMatchObject({ state: "ready", nodeCount: 2, missing: [], wasRunning: false });
    expect((await traces()).length).toBeGreaterThan(10); // what `down` must remove is seen by the same eyes
    const nodes = (await aether("nodes", "--json")).json<{
      nodes: { id: string; isConnected: boolean; facts: { cloud: { instanceId: string } } }[];
    }>().nodes;
    expect(nodes.map((node) => [node.id, node.isConnected])).toEqual([
      ["n1", true],
      ["n2", true],
    ]);
    expect(new Set(nodes.map((node) => node.facts.cloud.instanceId)).size).toBe(2); // each heard its own metadata under the one address
  });

  it("says that it runs when it is started again", async () => {
    const again = await up();
    expect(again.code).toBe(0);
    expect(again.json()).toMatchObject({ wasRunning: true, url: `http://127.0.0.1:${port}` });
  });

  it("moves a tree of processes there and back: its output goes on without a line lost or twice", async () => {
    const script = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done";
    const started = await aether("run", "ticker", "--node", "n1", "--json", "--", "/bin/sh", "-c", script);
    expect(started.code, started.err).toBe(0);
    await sleep(600);
    for (const [target, epoch] of [
      ["n2", "2"],
      ["n1", "3"],
    ] as const) {
      const moved = await aether("migrate", "ticker", "--to", target, "--json");
      expect(moved.code, moved.err).toBe(0);
      expect(moved.json()).toMatchObject({ state: "MIGRATION_STATE_DONE", receipt: { isWhole: true, network: { resetsSent: 0 } } });
      expect(await nodeOf("ticker")).toMatchObject({ nodeId: target, epoch });
      await sleep(500);
    }
    const lines = (await aether("logs", "ticker")).out.trim().split("\n");
    expect(lines.length).toBeGreaterThan(10);
    expect(lines).toEqual(lines.map((_, index) => `line ${index + 1}`));
    const tail = await aether("logs", "ticker", "--tail", "2");
    expect(tail.out.trim().split("\n")).toHaveLength(2);
  });

  it("knows what stands in the way of a move before anybody asks", async () => {
    const ring = 'syscall(425, 4, my $p = "\\0" x 120); sleep 600'; // io_uring_setup
    const started = await aether("run", "ring", "--node", "n1", "--json", "--", "/usr/bin/perl", "-e", ring);
    expect(started.code, started.err).toBe(0);
    interface Preflight {
      report: { blockers: { code: string; mend: string }[] };
      needs: { arch: string; threadCount: number };
    }
    const known = async (name: string) =>
      (await aether("inspect", name, "--json")).json<{ workload: { preflight?: Preflight } }>().workload.preflight;
    const blocked = await until("the node to say so by itself", 500, 20_000, () => known("ring"));
    expect(blocked.report.blockers.map(({ code }) => code)).toEqual(["IO_URING_IN_USE"]);
    expect(blocked.report.blockers[0]?.mend).not.toBe("");
    expect(await known("ticker")).toMatchObject({
      report: { blockers: [] },
      needs: { arch: expect.any(String), threadCount: expect.any(Number) },
    });
    expect((await aether("events", "--json")).out).toContain("workload.blocked");
    expect((await aether("rm", "ring", "--force")).code).toBe(0);
  });

  it("proves a move: the receipt is verified by the control plane's bundle, and from a file without the control plane; an edited one is not", async () => {
    const moves = (await aether("migrations", "--json")).json<{ migrations: { id: string }[] }>().migrations;
    const id = moves[0]?.id ?? "";
    const online = await aether("receipt", id, "--verify", "--json");
    expect(online.code, online.out).toBe(0);
    expect(online.json()).toMatchObject({ isVerified: true });
    const [file, trust] = [join(dir, "receipt.json"), join(dir, "trust.pem")];
    expect((await aether("receipt", id, "-o", file, "--save-trust", trust)).code).toBe(0);
    const nowhere = ["--url", "http://127.0.0.1:1"];
    expect((await aether("receipt", "--verify", file, "--trust", trust, ...nowhere)).out).toContain("Verified.");
    const text = await readFile(file, "utf8");
    const edited = text.replace(/"freezeMs":(\d)/, (_, digit) => `"freezeMs":${(Number(digit) + 1) % 10}`);
    expect(edited).not.toBe(text);
    await writeFile(file, edited);
    const refused = await aether("receipt", "--verify", file, "--trust", trust, ...nowhere);
    expect(refused.code).toBe(1);
    expect(refused.out).toContain("✗ the receipt says what the nodes have signed: freeze_ms");
    expect(refused.out).toContain("✗ control plane: the receipt is what was signed");
    await Promise.all([rm(file), rm(trust)]);
  });

  it("runs commands inside, and hands on their exit code", async () => {
    const inside = await aether("exec", "ticker", "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 9");
    expect(inside).toMatchObject({ code: 9, out: "out\n", err: "err\n" });
  });

  it("keeps a client's connection and every answer through moves under load", async () => {
    const client = createLoadClient({ address: "10.78.1.1", port: 6379, key: "e2e", pauseMs: 1 });
    client.start();
    await until("the first answers", 20, 10_000, async () => ((client.lastValue ?? 0) > 50 ? true : undefined));
    for (let i = 0; i < 4; i++) {
      const moved = await aether("migrate", "demo", "--json");
      expect(moved.code, moved.err).toBe(0);
    }
    await sleep(300);
    await client.stop();
    const seen = client.totals();
    expect(seen).toMatchObject({ errorCount: 0, wrongCount: 0, reconnectCount: 0 });
    expect(client.lastValue).toBe(seen.requestCount);
    expect(seen.gaps.length).toBeGreaterThan(0); // a move is a pause; without one, nothing was moved
  });

  it("brings a workload that crashed back on the other node, from the newest of the snapshots that its objective made", async () => {
    const redis = [
      "redis-server",
      "--bind",
      "0.0.0.0",
      "--protected-mode",
      "no",
      "--save",
      "",
      "--dir",
      "/var",
      "--enable-debug-command",
      "yes",
    ];
    const flags = ["--node", "n1", "--address", "10.78.1.90", "--health", "tcp:6379", "--rpo", "10s", "--max-freeze", "20s"];
    const started = await aether("run", "kept", ...flags, "--json", "--", ...redis);
    expect(started.code, started.err).toBe(0);
    const ask = async (...words: string[]) =>
      (await run("redis-cli", ["-h", "10.78.1.90", ...words], { deadlineMs: 10_000, okCodes: [0, 1] })).stdout.trim();
    await until("redis to answer", 100, 15_000, async () => ((await ask("ping")) === "PONG" ? true : undefined));
    expect(await ask("set", "word", "remembered-through-a-crash")).toBe("OK");
    const setAtMs = Date.now();
    interface Snapshot {
      id: string;
      state: string;
      createdAt: string;
      cause: string;
      maxFreezeMs: number;
      freezeMs: number;
    }
    const list = async () => (await aether("snapshots", "kept", "--json")).json<{ snapshots: Snapshot[] }>().snapshots;
    await until("a snapshot of after it", 300, 40_000, async () => {
      const made = (await list()).filter((one) => one.state === "SNAPSHOT_STATE_READY" && Date.parse(one.createdAt) > setAtMs);
      return made.length > 0 ? true : undefined;
    });
    await ask("debug", "segfault");
    await until("the crash to be seen", 100, 20_000, async () =>
      (await aether("inspect", "kept", "--json")).out.includes("WORKLOAD_STATE_EXITED") ? true : undefined,
    );
    const [newest] = (await list()).filter((one) => one.state === "SNAPSHOT_STATE_READY");
    expect(newest).toMatchObject({ cause: "rpo", maxFreezeMs: 20_000, freezeMs: expect.any(Number) });
    const secrets = await run("grep", ["-rl", "remembered-through", join(dir, "snapshots")], { deadlineMs: 20_000, okCodes: [0, 1] });
    expect(secrets.stdout).toBe("");
    expect((await aether("snapshots", "verify", newest?.id ?? "")).code).toBe(0);
    const restored = await aether("restore", newest?.id ?? "", "--node", "n2", "--json");
    expect(restored.code, restored.err).toBe(0);
    expect(await nodeOf("kept")).toMatchObject({ nodeId: "n2", epoch: "2" });
    expect(await ask("get", "word")).toBe("remembered-through-a-crash");
    expect((await aether("rm", "kept", "--force")).code).toBe(0);
  });

  it("refuses bad input by name, and changes nothing", async () => {
    const before = (await aether("ps", "--json")).json();
    for (const [args, code, says] of [
      [["migrate", "ticker", "--to", "n9"], 2, "n9"],
      [["migrate", "ticker", "--to", (await nodeOf("ticker")).nodeId], 2, "ticker"],
      [["migrate", "nobody"], 2, "nobody"],
      [["run", "ticker", "--", "/bin/true"], 2, "ticker"],
      [["run", "twin", "--address", "10.78.1.1", "--", "/bin/true"], 2, "10.78.1.1"],
      [["run", "ghost", "--", "/no/such/program"], 2, "/no/such/program"],
      [["run", "Bad_Name", "--", "/bin/true"], 2, "name"],
      [["inspect", "nobody"], 2, "nobody"],
      [["rm", "ticker"], 4, "ticker"],
    ] as const) {
      const answer = await aether(...args);
      expect(answer.code, `${args.join(" ")}: ${answer.err}`).toBe(code);
      expect(answer.err).toContain("error: ");
      expect(answer.err).toContain(says);
    }
    const names = (list: Record<string, unknown>) =>
      (list.workloads as { spec: { name: string }; nodeId: string; epoch: string }[]).map((w) => [w.spec.name, w.nodeId, w.epoch]);
    expect(names((await aether("ps", "--json")).json())).toEqual(names(before));
  });

  it("refuses a second move of a moving workload, with the first one's id", async () => {
    const answers = await Promise.all([aether("migrate", "demo", "--json"), aether("migrate", "demo", "--json")]);
    const first = answers.find((answer) => answer.code === 0);
    const second = answers.find((answer) => answer.code !== 0);
    expect(first, answers.map((answer) => answer.err).join("\n")).toBeDefined();
    expect(second?.code).toBe(4);
    expect(JSON.stringify(second?.json())).toContain(String(first?.json().id));
  });

  it("closes the loop by itself: a notice is announced, heard, decided, acted on, and judged", async () => {
    const { nodeId } = await nodeOf("demo");
    const drill = await aether("drill", "start", "--kind", "notice", "--node", nodeId, "--wait", "--json");
    expect(drill.code, drill.out + drill.err).toBe(0);
    const verdict = drill.json<{ state: string; noticeToDecisionMs: number; checks: { isPassed: boolean }[]; migrationIds: string[] }>();
    expect(verdict.state).toBe("DRILL_STATE_PASSED");
    expect(verdict.noticeToDecisionMs).toBeLessThan(500);
    expect(verdict.checks.every((check) => check.isPassed)).toBe(true);
    expect(verdict.migrationIds.length).toBeGreaterThan(0);
    expect((await nodeOf("demo")).nodeId).not.toBe(nodeId);
    expect((await aether("audit", "--verify", "--json")).json()).toMatchObject({ isIntact: true });
  });

  it("goes down and leaves nothing", async () => {
    const down = await aether("down", "--json");
    expect(down.code, down.err).toBe(0);
    expect(await traces()).toEqual([]);
    expect(readdirSync(dir)).toEqual(["logs"]);
    expect((await aether("down")).code).toBe(0);
  });

  it("is cleaned after a kill -9 of its supervisor and of core, in the middle of a workload's life", async () => {
    const answer = await up("--nodes", "2");
    expect(answer.code, answer.err).toBe(0);
    const record = JSON.parse(await readFile(join(dir, "cloud.json"), "utf8"));
    process.kill(record.supervisor.pid, "SIGKILL");
    process.kill(record.processes.core.pid, "SIGKILL");
    expect((await traces()).length).toBeGreaterThan(5);
    const down = await aether("down");
    expect(down.code, down.err).toBe(0);
    expect(await traces()).toEqual([]);
  });
});
