// Many threads: a thread for each connection, whose count lives on that thread's own stack. In Python, and in a JVM where there is one.
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Topology } from "../engine/topology.ts";
import { answers, listens, openLineClient } from "./clients.ts";
import { missingFor, openHosts, startWorkload } from "./moving.ts";

const missing = missingFor();
const hasPython = existsSync("/usr/bin/python3");
const hasJava = existsSync("/usr/bin/java") && existsSync("/usr/bin/javac");
const connections = 50;

const python = (address: string) => `
import socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        count = 0
        for line in self.rfile:
            count += 1
            self.wfile.write(b"%d\\n" % count)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
Server(("${address}", 8083), Handler).serve_forever()
`;

const java = (address: string) => `
import java.io.*;
import java.net.*;
public class Server {
  public static void main(String[] args) throws Exception {
    ServerSocket server = new ServerSocket(8083, 128, InetAddress.getByName("${address}"));
    while (true) {
      Socket socket = server.accept();
      new Thread(() -> {
        try (BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream())); OutputStream out = socket.getOutputStream()) {
          long count = 0;
          while (in.readLine() != null) out.write((++count + "\\n").getBytes());
        } catch (IOException gone) {
        }
      }).start();
    }
  }
}
`;

describe.skipIf(missing !== undefined)(`many threads${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  beforeAll(async () => {
    hosts = await openHosts("awt", 217);
  });
  afterAll(() => hosts?.close());

  async function moveWithClients(name: string, address: string, argv: string[], fewestThreads: number) {
    const workload = await startWorkload(hosts, { name, address, argv }, listens(address, 8083));
    const clients = await Promise.all(Array.from({ length: connections }, () => openLineClient(address, 8083, 5)));
    try {
      await workload.moveFiveTimes(() => answers(clients, 10));
      const [status] = await workload.host().call("list");
      const threads = (await run("sh", ["-c", `ls /proc/${status.pid}/task | wc -l`], { deadlineMs: 5000 })).stdout;
      expect(Number(threads)).toBeGreaterThanOrEqual(fewestThreads);
    } finally {
      for (const client of clients) client.close();
      await workload.remove();
    }
  }

  it("a Python server with a thread for each of 50 connections", async (context) => {
    if (!hasPython) context.skip("/usr/bin/python3 is not there (apt-get install python3)");
    await writeFile(join(hosts.dir, "server.py"), python("10.217.1.1"));
    await moveWithClients("python", "10.217.1.1", ["/usr/bin/python3", "-u", join(hosts.dir, "server.py")], connections + 1);
  });

  it("a JVM with a thread for each of 50 connections", async (context) => {
    if (!hasJava) context.skip("no JVM with a compiler here (apt-get install default-jdk-headless)");
    const classes = join(hosts.dir, "classes");
    await mkdir(classes, { recursive: true });
    await writeFile(join(classes, "Server.java"), java("10.217.1.2"));
    await run("/usr/bin/javac", ["-d", classes, join(classes, "Server.java")], { deadlineMs: 60_000 });
    const argv = ["/usr/bin/java", "-Xmx128m", "-XX:+UseSerialGC", "-cp", classes, "Server"];
    await moveWithClients("jvm", "10.217.1.2", argv, connections + 5);
  });
});
