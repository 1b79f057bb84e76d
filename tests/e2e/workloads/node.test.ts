// A Node server: websockets that count, and 500 connections that lie idle through every move and are still there afterwards.
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import WebSocket from "ws";
import type { Topology } from "../engine/topology.ts";
import { answers, type Client, listens, openLineClient } from "./clients.ts";
import { missingFor, openHosts, startWorkload } from "./moving.ts";

const missing = missingFor({ path: "/proc/sys/kernel/io_uring_disabled", get: "Linux 6.6" });
const address = "10.216.1.1";
const root = join(import.meta.dirname, "../../..");

const setting = "/proc/sys/kernel/io_uring_disabled";

/**
 * libuv keeps an io_uring for its polling where the kernel lets it, and criu cannot dump one (docs/guides/workloads.md): none can be made while the server
 * starts. For this moment only, since the setting is the whole machine's.
 */
async function withoutIoUring<T>(work: () => Promise<T>): Promise<T> {
  const before = await readFile(setting, "utf8");
  await writeFile(setting, "1"); // enough: a workload lacks CAP_SYS_ADMIN
  try {
    return await work();
  } finally {
    await writeFile(setting, before);
  }
}

const program = `
  import { createServer } from "node:net";
  import { WebSocketServer } from "ws";
  new WebSocketServer({ host: "${address}", port: 8081 }).on("connection", (socket) => {
    let count = 0;
    socket.on("message", (text) => socket.send(JSON.stringify({ count: ++count, echo: String(text) })));
  });
  createServer((socket) => {
    let count = 0;
    socket.on("error", () => socket.destroy());
    socket.on("data", () => socket.write(++count + "\\n"));
  }).listen(8082, "${address}", 1024);
`;

function openWebSocketClient(): Promise<Client> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${address}:8081`);
    let [count, isClosed] = [0, false];
    let problem: string | undefined;
    const ask = () => {
      if (!isClosed) socket.send(`message ${count + 1} ${"x".repeat(count % 2000)}`);
    };
    socket.on("message", (data) => {
      const answer = JSON.parse(String(data));
      if (answer.count !== ++count || !answer.echo.startsWith(`message ${count} `))
        problem ??= `answer ${count} was ${String(data).slice(0, 100)}`;
      setTimeout(ask, 2);
    });
    socket.on("close", (code) => {
      if (!isClosed) problem ??= `closed with ${code}`;
    });
    socket.once("error", (cause) => {
      problem ??= cause.message;
      reject(cause);
    });
    socket.once("open", () => {
      ask();
      resolve({
        count: () => count,
        problem: () => problem,
        close() {
          isClosed = true;
          socket.terminate();
        },
      });
    });
  });
}

describe.skipIf(missing !== undefined)(`a Node server${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  beforeAll(async () => {
    hosts = await openHosts("awj", 216);
  });
  afterAll(() => hosts?.close());

  it("five moves with websockets that count, and 500 idle connections", async () => {
    const app = join(hosts.dir, "app");
    await mkdir(join(app, "node_modules"), { recursive: true });
    await cp(join(root, "node_modules/ws"), join(app, "node_modules/ws"), { recursive: true });
    await writeFile(join(app, "server.mjs"), program);
    const argv = [process.execPath, join(app, "server.mjs")];
    const node = await withoutIoUring(() => startWorkload(hosts, { name: "node", address, argv }, listens(address, 8082)));
    const sockets = await Promise.all(Array.from({ length: 10 }, openWebSocketClient));
    const idle = await Promise.all(Array.from({ length: 500 }, () => openLineClient(address, 8082, -1)));
    try {
      await node.moveFiveTimes(() => answers(sockets, 20));
      const asked = answers(idle, 1);
      for (const one of idle) one.ask();
      await asked;
      expect(idle.every((one) => one.count() === 1)).toBe(true);
    } finally {
      for (const one of [...sockets, ...idle]) one.close();
      await node.remove();
    }
  });
});
