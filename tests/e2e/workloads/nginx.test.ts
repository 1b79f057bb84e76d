// nginx, master and workers: keep-alive clients on their first connection, and a long download that is under way in every move.
import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, get, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Topology } from "../engine/topology.ts";
import { answers, type Client, listens } from "./clients.ts";
import { missingFor, openHosts, startWorkload } from "./moving.ts";

const missing = missingFor({ path: "/usr/sbin/nginx", get: "apt-get install nginx-light" });
const address = "10.215.1.1";

const request = (agent: Agent, path: string) =>
  new Promise<IncomingMessage>((resolve, reject) => get({ host: address, port: 8080, path, agent }, resolve).once("error", reject));

/** Asks in a closed loop on one connection that is never opened again. */
function openKeepAliveClient(expected: string): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let [count, isOver] = [0, false];
  let problem: string | undefined;
  let socket: unknown;
  const loop = (async () => {
    while (!isOver) {
      const response = await request(agent, "/hello.txt");
      socket ??= response.socket;
      if (response.socket !== socket) problem ??= "a second connection was opened";
      let body = "";
      for await (const chunk of response) body += String(chunk);
      if (response.statusCode !== 200 || body !== expected) problem ??= `${response.statusCode}: ${body.slice(0, 100)}`;
      count++;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  loop.catch((caught: unknown) => {
    if (!isOver) problem ??= String(caught);
  });
  return {
    count: () => count,
    problem: () => problem,
    close() {
      isOver = true;
      agent.destroy();
    },
  };
}

describe.skipIf(missing !== undefined)(`nginx${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  beforeAll(async () => {
    hosts = await openHosts("awn", 215);
  });
  afterAll(() => hosts?.close());

  it("five moves with keep-alive clients and a download in flight: no error, no second connection, every byte", async () => {
    const site = await mkdtemp("/var/tmp/aether-nginx-"); // outside of the hosts' own folder, which only root may enter
    await chmod(site, 0o755);
    const large = randomBytes(48 << 20);
    await writeFile(join(site, "hello.txt"), "hello from nginx");
    await writeFile(join(site, "large.bin"), large);
    const configuration = `
      user www-data; worker_processes 2; pid /tmp/aether-nginx.pid; error_log stderr; daemon off;
      events { worker_connections 256; }
      http { access_log off; keepalive_timeout 600; keepalive_requests 1000000; sendfile on; client_body_temp_path /tmp/aether-nginx-body;
        proxy_temp_path /tmp/aether-nginx-p; fastcgi_temp_path /tmp/aether-nginx-f; uwsgi_temp_path /tmp/aether-nginx-u; scgi_temp_path /tmp/aether-nginx-s;
        server { listen ${address}:8080; root ${site}; } }`;
    await writeFile(join(hosts.dir, "nginx.conf"), configuration);
    const argv = ["/usr/sbin/nginx", "-c", join(hosts.dir, "nginx.conf"), "-e", "stderr"];
    const nginx = await startWorkload(hosts, { name: "nginx", address, argv }, listens(address, 8080));
    const clients = Array.from({ length: 8 }, () => openKeepAliveClient("hello from nginx"));
    const agent = new Agent({ keepAlive: true });
    try {
      const download = await request(agent, "/large.bin");
      const hash = createHash("sha256");
      let [received, isHurried] = [0, false];
      const reading = (async () => {
        for await (const chunk of download) {
          hash.update(chunk as Buffer);
          received += (chunk as Buffer).length;
          // Slow enough to be under way in every move; nginx waits with data in its socket.
          if (!isHurried) await new Promise((resolve) => setTimeout(resolve, 25));
        }
      })();
      reading.catch(() => undefined); // heard below
      await nginx.moveFiveTimes(() => answers(clients, 20));
      expect(received).toBeLessThan(large.length);
      isHurried = true;
      await reading;
      expect([received, hash.digest("hex")]).toEqual([large.length, createHash("sha256").update(large).digest("hex")]);
      expect((await nginx.exec("/bin/sh", "-c", "ps -eo comm | grep -c nginx")).stdout.trim()).toBe("3");
    } finally {
      for (const client of clients) client.close();
      agent.destroy();
      await nginx.remove();
      await rm(site, { recursive: true, force: true });
    }
  });
});
