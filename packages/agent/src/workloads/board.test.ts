import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HealthCheck, HealthCheckSchema, HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import type { Runtime, WorkloadStatus } from "@aether/engine";
import { silentLogger, sleep, until } from "@aether/kit";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Board, type StatusReport, startBoard } from "./board.ts";
import { checkHealth, healthUrl } from "./health-check.ts";

const pace = { sampleMs: 20, networkCheckMs: 20, execCheckMs: 20, recheckMs: 20, checkDeadlineMs: 150, failuresToFail: 3 };
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
const running = { name: "db", epoch: 2, phase: "running", migrationId: undefined, pid: 7, exitCode: undefined, spec } as const;

let dir: string;
let statuses: WorkloadStatus[];
let changes: StatusReport[];
let boards: Board[];
let server: Server;
let connections: number;
let port: number;
const runtime = {
  list: async () => statuses,
  usage: async () => ({ memoryBytes: 5, cpuFraction: 0.5, processCount: 2, tcpEstablished: 1 }),
  locate: async () => undefined,
  onExit: () => () => undefined,
  exec: async (_name: string, argv: readonly string[]) => ({
    exitCode: argv[0] === "true" ? 0 : 1,
    stdout: new Uint8Array(),
    stderr: Buffer.from("no"),
    isTruncated: false,
  }),
} as unknown as Runtime;

const listen = async (where: Server) => {
  await new Promise<void>((resolve) => where.listen(port, "127.0.0.1", resolve));
  return (where.address() as AddressInfo).port;
};
const check = (kind: MessageInitShape<typeof HealthCheckSchema>["kind"]): HealthCheck => create(HealthCheckSchema, { kind: kind! });
const start = async () => {
  const board = await startBoard({ runtime, stateDir: dir, log: silentLogger, pace, onChange: (report) => changes.push(report) });
  boards.push(board);
  return board;
};
const healthIs = (board: Board, health: HealthState) =>
  until(HealthState[health], 5, 3_000, async () => (board.reports()[0]?.health === health ? true : undefined));

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-agent-board-"));
  [statuses, changes, boards, connections, port] = [[running], [], [], 0, 0];
  server = createServer((socket) => {
    connections++;
    socket.on("error", () => undefined);
  });
  port = await listen(server);
});
afterEach(async () => {
  for (const board of boards) await board.stop();
  server.close();
  await rm(dir, { recursive: true });
});

describe("the board", () => {
  it("tells phase and health as they change, and what was measured", async () => {
    const board = await start();
    await board.setHealthCheck("db", check({ case: "tcpPort", value: port }));
    await healthIs(board, HealthState.PASSING);
    await until("usage", 5, 1_000, async () => board.reports()[0]?.usage);
    expect(board.reports()[0]).toMatchObject({ epoch: 2n, phase: "running", usage: { memoryBytes: 5n, processCount: 2 } });
    server.close();
    await healthIs(board, HealthState.FAILING);
    statuses = [{ ...running, phase: "frozen", migrationId: "mig-1" }];
    await board.refresh();
    expect(changes.map(({ phase, health }) => [phase, health])).toEqual([
      ["running", HealthState.UNKNOWN],
      ["running", HealthState.PASSING],
      ["running", HealthState.FAILING],
      ["frozen", HealthState.UNKNOWN],
    ]);
    statuses = [];
    await board.refresh();
    expect(board.reports()).toEqual([]);
  });

  it("does not call a workload failing for one failure", async () => {
    const board = await start();
    await board.setHealthCheck("db", check({ case: "exec", value: { argv: ["true"] } }));
    await healthIs(board, HealthState.PASSING);
    await board.setHealthCheck("db", check({ case: "exec", value: { argv: ["false"] } }));
    expect(board.reports()[0]?.health).toBe(HealthState.UNKNOWN);
    await healthIs(board, HealthState.FAILING);
  });

  it("touches nothing while it is hushed, nor what is frozen", async () => {
    const board = await start();
    await board.setHealthCheck("db", check({ case: "tcpPort", value: port }));
    await healthIs(board, HealthState.PASSING);
    const speak = board.hush("db");
    await sleep(50);
    const before = connections;
    await sleep(150);
    expect(connections).toBe(before);
    speak();
    speak();
    await until("another check", 5, 1_000, async () => (connections > before ? true : undefined));
    statuses = [{ ...running, phase: "frozen" }];
    await board.refresh();
    await sleep(50);
    const frozen = connections;
    await sleep(100);
    expect(connections).toBe(frozen);
  });

  it("remembers the checks over a restart, and passes over one that is damaged", async () => {
    const first = await start();
    await first.setHealthCheck("db", check({ case: "tcpPort", value: port }));
    await first.stop();
    await writeFile(join(dir, "health", "other.json"), "{half");
    await healthIs(await start(), HealthState.PASSING);
  });

  it("after a resume waits for the first pass, and no longer than told", async () => {
    const board = await start();
    const signal = new AbortController().signal;
    expect((await board.untilHealthy("db", 500, signal)).health).toBe(HealthState.UNKNOWN);
    server.close();
    await new Promise((resolve) => server.once("close", resolve));
    await board.setHealthCheck("db", check({ case: "tcpPort", value: port }));
    const startedMs = performance.now();
    expect(await board.untilHealthy("db", 300, signal)).toMatchObject({
      health: HealthState.FAILING,
      detail: expect.stringContaining("ECONNREFUSED"),
    });
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    setTimeout(() => void listen(server), 100);
    expect((await board.untilHealthy("db", 3_000, signal)).health).toBe(HealthState.PASSING);
  });

  it("leaves the engine's own canary out", async () => {
    statuses = [{ ...running, name: "aether-canary" }];
    expect((await start()).reports()).toEqual([]);
  });
});

describe("a health check", () => {
  const once = (kind: MessageInitShape<typeof HealthCheckSchema>["kind"]) =>
    checkHealth(check(kind), { name: "db", address: "127.0.0.1" }, runtime, 150, new AbortController().signal);

  it("over HTTP passes with 2xx alone, and has a deadline", async () => {
    let status = 204;
    const http = createHttpServer((request, response) => {
      if (request.url !== "/hang") response.writeHead(status).end();
    });
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    const url = `http://:${(http.address() as AddressInfo).port}/ready`;
    expect(await once({ case: "httpUrl", value: url })).toEqual({ isPassing: true, detail: "HTTP 204" });
    status = 302;
    expect((await once({ case: "httpUrl", value: url })).isPassing).toBe(false);
    const hang = await once({ case: "httpUrl", value: url.replace("ready", "hang") });
    expect(hang).toMatchObject({ isPassing: false, detail: expect.stringContaining("150 ms") });
    http.closeAllConnections();
    http.close();
  });

  it("knows what is not a URL, and of an unknown kind says so", async () => {
    expect(healthUrl("http://:8080/ready", "10.0.0.1").href).toBe("http://10.0.0.1:8080/ready");
    expect(healthUrl("http://other/x", "10.0.0.1").href).toBe("http://other/x");
    for (const bad of ["", "file:///etc/passwd", "https://x/", "http://"]) expect(() => healthUrl(bad, "bad host"), bad).toThrow();
    expect(
      (await checkHealth(create(HealthCheckSchema), { name: "db", address: "" }, runtime, 100, new AbortController().signal)).isPassing,
    ).toBe(false);
  });
});
