// A whole agent against a control plane on real sockets: an authority, HTTP/2 over mutual TLS, a metadata service; only the mover of
// workloads is scripted. What is tried: joining, the first heartbeat, a notice, a command, and each side dying and coming back.
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import http2 from "node:http2";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { fault } from "@aether/contract";
import {
  AgentService,
  CommandOutcome,
  CommandSchema,
  type SessionRequest,
  type SessionResponseSchema,
} from "@aether/contract/gen/aether/v2/agent_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import type { Engine, WorkloadStatus } from "@aether/engine";
import { silentLogger, sleep, until } from "@aether/kit";
import {
  type Authority,
  createJoinToken,
  createSigner,
  nodeIdOf,
  nodeSpiffeId,
  openAuthority,
  parseJoinToken,
  peerSpiffeId,
  secureServerOptions,
} from "@aether/kit/identity";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createContextKey, createContextValues } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "./agent.ts";

type Up = SessionRequest["message"];
type Down = MessageInitShape<typeof SessionResponseSchema>["message"];
const peerKey = createContextKey<string | undefined>(undefined);

interface CoreDouble {
  readonly port: number;
  readonly received: Up[];
  readonly peers: (string | undefined)[];
  registrations: number;
  renewals: number;
  isAcknowledging: boolean;
  say(message: Down): void;
  /** Without core's signature. */
  raw(message: Down): void;
  stop(): Promise<void>;
}

async function startCore(authority: Authority, secret: string, port: number, ttlMs = 3_600_000): Promise<CoreDouble> {
  const material = await authority.issueMaterial("spiffe://test.local/core", 3_600_000);
  const down: Down[] = [];
  let wake = () => {};
  let isOpen = true;
  const sign = createSigner(() => material);
  const raw = (message: Down) => {
    down.push(message);
    wake();
  };
  const say = (message: Down) => {
    if (message?.case !== "command") return raw(message);
    raw({ case: "signedCommand", value: sign("command", toBinary(CommandSchema, create(CommandSchema, message.value))) });
  };
  const identityOf = async (csrPem: string, nodeId: string) => {
    const issued = await authority.issue(csrPem, nodeSpiffeId("test.local", nodeId), ttlMs);
    return { spiffeId: nodeSpiffeId("test.local", nodeId), ...issued, expiresAt: timestampFromMs(issued.expiresAtMs) };
  };
  const config = { heartbeatIntervalMs: 50, imdsIntervalMs: 100 };
  const double = { received: [] as Up[], peers: [] as (string | undefined)[], registrations: 0, renewals: 0, isAcknowledging: true };
  const server = http2.createSecureServer(
    secureServerOptions({ current: () => material, onRotate: () => () => undefined }, "optional"),
    connectNodeAdapter({
      contextValues: (request) => {
        const socket = ("stream" in request ? request.stream.session?.socket : undefined) as TLSSocket;
        return createContextValues().set(peerKey, peerSpiffeId(socket, "test.local"));
      },
      routes: (router) =>
        router.service(AgentService, {
          async register({ joinToken, csrPem, nodeId }) {
            double.registrations++;
            if (parseJoinToken(joinToken).secret !== secret || double.registrations > 1) throw fault("JOIN_TOKEN_INVALID").toConnectError();
            return { nodeId, identity: await identityOf(csrPem, nodeId), config };
          },
          async renewIdentity({ csrPem }, context) {
            double.renewals++;
            return { identity: await identityOf(csrPem, nodeIdOf(context.values.get(peerKey) ?? "") ?? "") };
          },
          async *session(requests, context) {
            double.peers.push(context.values.get(peerKey));
            (async () => {
              for await (const { message } of requests) {
                double.received.push(message);
                if (message.case === "hello") say({ case: "welcome", value: { config } });
                if (!double.isAcknowledging) continue;
                if (message.case === "signal") say({ case: "signalAck", value: message.value.sequence });
                if (message.case === "result") say({ case: "resultAck", value: message.value.commandId });
              }
            })().catch(() => undefined);
            let isMine = true;
            context.signal.addEventListener("abort", () => {
              isMine = false;
              wake();
            });
            while (isOpen && isMine) {
              const next = down.shift();
              if (next) yield { message: next };
              else {
                await new Promise<void>((resolve) => {
                  const before = wake;
                  wake = () => {
                    before();
                    resolve();
                  };
                });
              }
            }
          },
        }),
    }),
  );
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return Object.assign(double, {
    port: (server.address() as AddressInfo).port,
    say,
    raw,
    stop: async () => {
      isOpen = false;
      wake();
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.destroy();
      await closed;
    },
  });
}

const spec = {
  name: "db",
  rootfs: "host",
  argv: ["db"],
  env: {},
  workingDirectory: "/",
  address: "127.0.0.1",
  volumes: [],
  memoryLimitBytes: 0,
};
/** Keeps its workloads over restarts of the agent, as the real one does. */
function scriptedEngine() {
  const workloads = new Map<string, WorkloadStatus>();
  const listeners = new Set<(status: WorkloadStatus) => void>();
  const log = { starts: 0, recoveries: 0, stops: 0 };
  const engine = {
    runtime: {
      async start(_spec: typeof spec, epoch: number) {
        log.starts++;
        const status: WorkloadStatus = { name: "db", epoch, phase: "running", migrationId: undefined, pid: 7, exitCode: undefined, spec };
        workloads.set("db", status);
        return status;
      },
      list: async () => [...workloads.values()],
      usage: async () => ({ memoryBytes: 1, cpuFraction: 0, processCount: 1, tcpEstablished: 0 }),
      locate: async () => ({ pid: process.pid, cgroupDirs: [] }),
      onExit(listener: (status: WorkloadStatus) => void) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      async *logs(_name: string, _options: unknown, signal: AbortSignal) {
        for (let i = 0; i < 100 && !signal.aborted; i++) yield Buffer.from(`line ${i}\n`);
      },
    },
    canary: () =>
      sleep(200).then(() => ({
        isAvailable: true,
        criuVersion: "4.2.1",
        dumpMs: 30,
        restoreMs: 10,
        lazyPages: true,
        noTracking: "",
        reason: "",
      })),
    link: { address: "127.0.0.1", port: 4444 },
    kernel: {
      probe: async () => ({ holds: { queue: undefined, xdp_icmp: undefined, tc_drop: undefined, nft_drop: undefined }, watch: undefined }),
      facts: async () => undefined,
      ask: async () => ({}),
      dirtyRate: async () => undefined,
    },
    recover: async () => void log.recoveries++,
    stop: async () => void log.stops++,
  } as unknown as Engine;
  const exit = (exitCode: number) => {
    const status: WorkloadStatus = { ...workloads.get("db")!, phase: "exited", pid: undefined, exitCode };
    workloads.set("db", status);
    for (const listener of listeners) listener(status);
  };
  return { engine, log, exit };
}

let dir: string;
let authority: Authority;
let token: string;
let core: CoreDouble;
let imds: Server;
let imdsAnswers: Map<string, string>;
let scripted: ReturnType<typeof scriptedEngine>;
let agents: { stop(): Promise<void> }[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-agent-run-"));
  authority = await openAuthority(join(dir, "authority"), { trustDomain: "test.local" });
  token = createJoinToken(authority.spkiPin()).token;
  core = await startCore(authority, parseJoinToken(token).secret, 0);
  imdsAnswers = new Map([["meta-data/instance-id", "i-0abc123"]]);
  imds = createServer((request, response) => {
    const answer = request.method === "PUT" ? "token" : imdsAnswers.get((request.url ?? "").replace("/latest/", ""));
    response.writeHead(answer === undefined ? 404 : 200).end(answer);
  });
  await new Promise<void>((resolve) => imds.listen(0, "127.0.0.1", resolve));
  scripted = scriptedEngine();
  agents = [];
});
afterEach(async () => {
  for (const agent of agents) await agent.stop();
  await core.stop();
  imds.closeAllConnections();
  imds.close();
  await rm(dir, { recursive: true });
});

function startAgent(overrides: Record<string, unknown> = {}) {
  const controller = new AbortController();
  let problem: unknown;
  const ended = run({
    overrides: {
      coreAddress: `127.0.0.1:${core.port}`,
      joinToken: token,
      stateDir: join(dir, "state"),
      snapshotDir: join(dir, "snapshots"),
      linkAddress: "127.0.0.1",
      imds: { endpoint: `http://127.0.0.1:${(imds.address() as AddressInfo).port}` },
      ...overrides,
    },
    signal: controller.signal,
    createEngine: async () => scripted.engine,
    log: silentLogger,
  }).catch((caught: unknown) => {
    problem = caught;
  });
  const agent = {
    ended: ended.then(() => problem),
    async stop() {
      controller.abort(fault("CANCELLED", "end of the test"));
      await ended;
    },
  };
  agents.push(agent);
  return agent;
}

const received = <Case extends NonNullable<Up["case"]>>(name: Case, count = 1) =>
  until(`${count} ${name}`, 10, 8_000, async () => {
    const found = core.received.filter((message): message is Extract<Up, { case: Case }> => message.case === name);
    return found.length >= count
      ? found.map((message) => (message as { value: unknown }).value as Extract<Up, { case: Case }>["value"])
      : undefined;
  });
const start = (id: string, health?: number): MessageInitShape<typeof CommandSchema> => ({
  id,
  workload: "db",
  epoch: 1n,
  action: {
    case: "startWorkload",
    value: {
      spec: {
        name: "db",
        rootfs: "host",
        argv: ["db"],
        address: "127.0.0.1",
        ...(health && { health: { kind: { case: "tcpPort", value: health } } }),
      },
    },
  },
});

describe("an agent", () => {
  it("joins by its token, keeps its key for itself, and tells what it is and can do", async () => {
    startAgent();
    const [first] = await received("hello");
    expect(first?.facts).toMatchObject({ linkPort: 4444, cloud: { instanceId: "i-0abc123" } });
    const hellos = await received("hello", 2);
    expect(hellos.at(-1)?.facts?.capabilities?.criu).toMatchObject({ available: true, version: "4.2.1", canaryDumpMs: 30 });
    expect(core.peers[0]).toBe("spiffe://test.local/node/i-0abc123");
    const [beat] = await received("heartbeat", 3);
    expect(beat?.usage?.memoryAvailableBytes).toBeGreaterThan(0n);
    const path = join(dir, "state", "identity.json");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, "utf8")).toContain("PRIVATE KEY");
  });

  it("gives its token to nobody but the pinned authority", async () => {
    const stranger = await openAuthority(join(dir, "stranger"), { trustDomain: "test.local" });
    const forged = await startCore(stranger, parseJoinToken(token).secret, 0);
    const agent = startAgent({ coreAddress: `127.0.0.1:${forged.port}` });
    expect(await Promise.race([agent.ended, sleep(3_000)])).toMatchObject({ code: "IDENTITY_REJECTED" });
    expect(forged.registrations).toBe(0);
    await forged.stop();
  });

  it("says so when its token is used up, and ends", async () => {
    core.registrations = 1;
    expect(await startAgent().ended).toMatchObject({ code: "JOIN_TOKEN_INVALID" });
  });

  it("does not share its state directory", async () => {
    startAgent();
    await received("hello");
    expect(await startAgent().ended).toMatchObject({ code: "LOCKED" });
  });

  it("starts a workload, checks its health, tells changes at once, and adopts it after its own restart", async () => {
    const service = createTcpServer((socket) => socket.on("error", () => undefined)).listen(0, "127.0.0.1");
    await new Promise((resolve) => service.once("listening", resolve));
    const agent = startAgent();
    await received("hello", 2);
    core.say({ case: "command", value: start("cmd-1", (service.address() as AddressInfo).port) });
    expect((await received("result"))[0]).toMatchObject({ commandId: "cmd-1", outcome: CommandOutcome.OK, facts: { value: { pid: 7n } } });
    await until("health", 10, 4_000, async () =>
      (await received("workloadChange")).some(({ status }) => status?.health === HealthState.PASSING) ? true : undefined,
    );
    await agent.stop();
    core.received.length = 0;
    startAgent();
    const [hello] = await received("hello");
    expect(hello?.workloads).toMatchObject([{ name: "db", epoch: 1n, phase: "running" }]);
    expect(hello?.epochs).toEqual({ db: 1n });
    // The check is remembered too.
    await until("health", 10, 4_000, async () =>
      (await received("heartbeat")).some(({ workloads }) => workloads[0]?.health === HealthState.PASSING) ? true : undefined,
    );
    core.say({ case: "command", value: start("cmd-1") });
    expect((await received("result")).at(-1)?.outcome).toBe(CommandOutcome.OK);
    expect(scripted.log).toEqual({ starts: 1, recoveries: 2, stops: 1 });
    scripted.exit(3);
    expect((await received("workloadChange")).at(-1)?.status).toMatchObject({ phase: "exited", exitCode: 3 });
    service.close();
  });

  it("carries out nothing that the control plane has not signed", async () => {
    startAgent();
    await received("hello");
    core.raw({ case: "command", value: start("cmd-unsigned") });
    core.raw({
      case: "signedCommand",
      value: { purpose: "command", content: toBinary(CommandSchema, create(CommandSchema, start("cmd-forged"))) },
    });
    core.say({ case: "command", value: start("cmd-1") });
    const results = await received("result");
    expect(results.map(({ commandId }) => commandId)).toEqual(["cmd-1"]);
    expect(scripted.log.starts).toBe(1);
  });

  it("hears a notice while the control plane is away and tells it once when it is back", async () => {
    startAgent();
    await received("hello", 2);
    const { port } = core;
    await core.stop();
    imdsAnswers.set("meta-data/spot/instance-action", '{"action":"terminate","time":"2026-09-18T08:22:00Z"}');
    await sleep(400);
    core = await startCore(authority, "", port);
    const [signal] = await received("signal");
    expect(signal).toMatchObject({ kind: SignalKind.NOTICE, action: "terminate", source: "imds" });
    expect(signal?.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    await sleep(300);
    expect((await received("signal")).length).toBe(1);
    expect(core.registrations).toBe(0);
  });

  it("sends results and signals again on the next stream until they are acknowledged", async () => {
    core.isAcknowledging = false;
    const agent = startAgent();
    await received("hello", 2);
    core.say({ case: "command", value: start("cmd-1") });
    imdsAnswers.set("meta-data/events/recommendations/rebalance", '{"noticeTime":"2026-09-18T08:22:00Z"}');
    await received("result");
    const [signal] = await received("signal");
    await agent.stop();
    core.received.length = 0;
    core.isAcknowledging = true;
    const second = startAgent();
    expect((await received("result"))[0]?.commandId).toBe("cmd-1");
    expect((await received("signal"))[0]?.sequence).toBe(signal?.sequence);
    await sleep(100);
    await second.stop();
    core.received.length = 0;
    startAgent();
    await received("heartbeat", 3);
    expect(core.received.some(({ case: name }) => name === "result" || name === "signal")).toBe(false);
  });

  it("answers what happened to a command, and streams logs until nobody reads them", async () => {
    startAgent();
    await received("hello", 2);
    core.say({ case: "queryCommandId", value: "cmd-never" });
    expect((await received("result"))[0]?.outcome).toBe(CommandOutcome.UNKNOWN);
    core.say({ case: "command", value: { id: "cmd-logs", workload: "db", action: { case: "readLogs", value: { follow: false } } } });
    await until("the end", 10, 3_000, async () => ((await received("output")).some(({ isEnd }) => isEnd) ? true : undefined));
    const text = Buffer.concat((await received("output")).map(({ chunk }) => chunk)).toString();
    expect(text.split("\n").length).toBe(101);
  });

  it("renews its certificate at half life, without dropping the stream", async () => {
    await core.stop();
    core = await startCore(authority, parseJoinToken(token).secret, 0, 4_000);
    startAgent();
    await received("hello", 2);
    await until("a renewal", 20, 6_000, async () => (core.renewals > 0 ? true : undefined));
    const before = core.received.length;
    await until("more heartbeats", 10, 3_000, async () => (core.received.length > before + 5 ? true : undefined));
    expect(core.peers.length).toBe(2); // the first, and the one after the canary
  });
});
