import type { AddressInfo, Server, Socket } from "node:net";
import { until } from "@aether/kit";
import { afterEach, describe, expect, it } from "vitest";
import { createCounterServer } from "./counter-server.ts";
import { createLoadClient, type LoadClient } from "./load-client.ts";

let server: Server | undefined;
let client: LoadClient | undefined;
const sockets = new Set<Socket>();
afterEach(async () => {
  await client?.stop();
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  server?.close();
});

async function serve(port = 0): Promise<number> {
  server = createCounterServer();
  server.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve, reject) => server!.once("error", reject).listen(port, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}
const counted = (atLeast: number) => until("the counter", 5, 5000, async () => ((client?.lastValue ?? 0) >= atLeast ? true : undefined));

describe("load client against the counter server", () => {
  it("counts without an error", async () => {
    client = createLoadClient({ address: "127.0.0.1", port: await serve(), pauseMs: 0 });
    client.start();
    await counted(50);
    const report = client.take();
    expect(report).toMatchObject({ errorCount: 0, wrongCount: 0, reconnectCount: 0, lastError: "" });
    expect(report.requestCount).toBeGreaterThanOrEqual(50);
    await counted((client.lastValue ?? 0) + 10);
    expect(client.totals().requestCount).toBe(client.lastValue);
  });
  it("reports a broken connection as an error and goes on counting", async () => {
    client = createLoadClient({ address: "127.0.0.1", port: await serve(), pauseMs: 1 });
    client.start();
    await counted(5);
    for (const socket of sockets) socket.destroy();
    await counted((client.lastValue ?? 0) + 5);
    const totals = client.totals();
    expect(totals.reconnectCount).toBe(1);
    expect(totals.errorCount).toBe(1);
    expect(totals.wrongCount).toBe(0);
  });
  it("finds that a restarted server has forgotten", async () => {
    const port = await serve();
    client = createLoadClient({ address: "127.0.0.1", port, pauseMs: 1 });
    client.start();
    await counted(20);
    server!.close();
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    await serve(port);
    await until("the wrong answer", 5, 5000, async () => (client!.totals().wrongCount > 0 ? true : undefined));
    expect(client.totals().wrongCount).toBe(1);
  });
  it("waits for a server that is not there yet without counting errors", async () => {
    const port = await serve();
    await new Promise<void>((resolve) => server!.close(() => resolve()));
    client = createLoadClient({ address: "127.0.0.1", port });
    client.start();
    await new Promise((resolve) => setTimeout(resolve, 150));
    await serve(port);
    await counted(3);
    expect(client.totals().errorCount).toBe(0);
  });
});
