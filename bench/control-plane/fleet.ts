// A core of its own on a free port, with a fleet simulated at the wire: rows as registrations leave them, certificates of core's own authority.
import { type ChildProcess, spawn } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { createIdentityRequest, nodeSpiffeId, openAuthority } from "@aether/kit/identity";
import { createWireAgent, type WireAgent, wireFacts } from "@aether/lab";
import { create, toJson } from "@bufbuild/protobuf";
import { openDatabase } from "../../packages/core/dist/db/database.js";
import type { PostgresConfig } from "../../packages/core/dist/db/postgres-config.js";
import { type Usage, usageOf } from "./usage.ts";

const bin = fileURLToPath(new URL("../../packages/cli/bin/aether.mjs", import.meta.url));
/** Handshakes under way at once: each is a millisecond or two of both sides, and a session's beginning waits for the database. */
const connectAtOnce = 200;
const trustDomain = "bench.local";

export interface BenchCore {
  readonly agents: readonly WireAgent[];
  /** REST with the admin's token. */
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: object): Promise<T>;
  text(path: string): Promise<string>;
  usage(): Usage;
  /** Before the first agent came. */
  readonly residentBytesAlone: number;
  /** Core's CPU while they came. */
  readonly connectCpuSeconds: number;
  /** Connections that failed and were tried again. */
  readonly refused: number;
  stop(): Promise<void>;
}

export interface BenchOptions {
  readonly nodeCount: number;
  /** Nodes with a workload each, the first ones. */
  readonly workloadCount: number;
  readonly stepMs: number;
  /** As many agents as are connected after so long; default: all, however long it takes. */
  readonly connectMs?: number;
  readonly postgres: PostgresConfig | undefined;
  readonly config?: object;
}

export async function startBenchCore({ nodeCount, workloadCount, stepMs, connectMs, postgres, config }: BenchOptions): Promise<BenchCore> {
  const dir = await mkdtemp(join(tmpdir(), "aether-bench-"));
  const names = Array.from({ length: nodeCount }, (_, i) => `n${i}`);
  await seed(dir, names, workloadCount, postgres);
  const [http, agentsPort] = [await freePort(), await freePort()];
  const file = join(dir, "core.json");
  const limits = { rateLimit: { perTokenPerSecond: 10_000, perAddressPerSecond: 10_000, burst: 100_000 } };
  const whole = {
    dataDir: dir,
    trustDomain,
    http: { port: http },
    agents: { host: "127.0.0.1", port: agentsPort },
    ...(postgres === undefined ? {} : { database: postgres }),
    ...limits,
    ...config,
  };
  await writeFile(file, JSON.stringify(whole));
  // BENCH_CORE_ARGS="--cpu-prof --cpu-prof-dir=/tmp/profiles": where the time goes.
  const nodeArgs = (process.env.BENCH_CORE_ARGS ?? "").split(" ").filter((each) => each !== "");
  const child = spawn(process.execPath, [...nodeArgs, bin, "core", "--config", file], {
    stdio: ["ignore", "ignore", openSync(join(dir, "core.log"), "a")],
  });
  const url = `http://127.0.0.1:${http}`;
  await untilReady(`${url}/readyz`, child, join(dir, "core.log"));
  const token = (await readFile(join(dir, "admin.token"), "utf8")).trim();
  const ask = async (method: string, path: string, body?: object): Promise<Response> => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const call = async <T>(...asked: Parameters<typeof ask>): Promise<T> => (await (await ask(...asked)).json()) as T;
  const authority = await openAuthority(dir, { trustDomain });
  const alone = usageOf(child.pid ?? 0);
  // One key for all of them: making ten thousand would be most of the simulator's work, and core cannot tell.
  const { csrPem, privateKeyPem } = await createIdentityRequest();
  const untilMs = performance.now() + (connectMs ?? Number.POSITIVE_INFINITY);
  // Those with a workload and those without in turns: whoever has no turn in the end is of both kinds.
  const half = Math.ceil(names.length / 2);
  const order = Array.from({ length: half }, (_, i) => [i, i + half])
    .flat()
    .filter((n) => n < names.length);
  const connected: (WireAgent | undefined)[] = [];
  let refused = 0;
  const connectSome = async () => {
    for (let n = order.shift(); n !== undefined && performance.now() < untilMs; n = order.shift()) {
      const nodeId = names[n] ?? "";
      const spiffeId = nodeSpiffeId(trustDomain, nodeId);
      const identity = { spiffeId, privateKeyPem, ...(await authority.issue(csrPem, spiffeId, 86_400_000)) };
      const workloads = n < workloadCount ? [{ name: `w${n}`, epoch: 1 }] : [];
      const agent = createWireAgent({ address: `127.0.0.1:${agentsPort}`, identity, nodeId, workloads, stepMs });
      try {
        await agent.connect();
        connected[n] = agent;
      } catch (caught) {
        // As an agent does: it tries again, when it has its turn again.
        agent.close();
        order.push(n);
        if (++refused > names.length / 10) throw caught;
      }
    }
  };
  await Promise.all(Array.from({ length: connectAtOnce }, connectSome)).catch((caught: unknown) => {
    child.kill("SIGKILL");
    throw caught;
  });
  const agents = connected.filter((agent) => agent !== undefined);
  const connectCpuSeconds = usageOf(child.pid ?? 0).cpuSeconds - alone.cpuSeconds;
  return {
    agents,
    get: (path) => call("GET", path),
    post: (path, body) => call("POST", path, body),
    text: async (path) => (await ask("GET", path)).text(),
    usage: () => usageOf(child.pid ?? 0),
    residentBytesAlone: alone.residentBytes,
    connectCpuSeconds,
    refused,
    async stop() {
      for (const agent of agents) agent.close();
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
      if (process.env.BENCH_KEEP_LOG !== undefined) await copyFile(join(dir, "core.log"), process.env.BENCH_KEEP_LOG);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function seed(dir: string, names: readonly string[], workloadCount: number, postgres: PostgresConfig | undefined): Promise<void> {
  const database = await openDatabase({ dataDir: dir, postgres });
  try {
    for (let from = 0; from < names.length; from += 500) {
      const part = names.slice(from, from + 500);
      await database.db
        .insertInto("nodes")
        .values(part.map((id) => ({ id, facts: JSON.stringify(toJson(NodeFactsSchema, create(NodeFactsSchema, wireFacts(id)))) })))
        .execute();
      const placed = part.map((nodeId, i) => ({ nodeId, n: from + i })).filter(({ n }) => n < workloadCount);
      if (placed.length === 0) continue;
      const address = (n: number) => `10.${64 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
      const spec = (n: number) =>
        toJson(
          WorkloadSpecSchema,
          create(WorkloadSpecSchema, {
            name: `w${n}`,
            rootfs: "host",
            argv: ["/bin/true"],
            address: address(n),
            memoryLimitBytes: 256n << 20n,
          }),
        );
      await database.db
        .insertInto("workloads")
        .values(
          placed.map(({ n }) => ({
            name: `w${n}`,
            id: `wl-bench-${n}`,
            spec: JSON.stringify(spec(n)),
            address: address(n),
            desired: "running" as const,
            state: "running" as const,
          })),
        )
        .execute();
      await database.db
        .insertInto("placements")
        .values(placed.map(({ nodeId, n }) => ({ workload: `w${n}`, epoch: 1, node_id: nodeId, cause: "run" })))
        .execute();
    }
  } finally {
    await database.close();
  }
}

async function untilReady(url: string, child: ChildProcess, log: string): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) throw new Error(`core ended: ${readFileSync(log, "utf8").split("\n").slice(-5).join("\n")}`);
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("core is not ready after 60 s");
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
