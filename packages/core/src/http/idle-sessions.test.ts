import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { endIdleSessions } from "./idle-sessions.ts";

it("a session ends when nothing was asked on it for a while, and not while something is answered", async () => {
  const server = http2.createServer((_, response) => response.writeHead(200).write("begun"));
  endIdleSessions(server, 50);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [silent, busy] = [http2.connect(at), http2.connect(at)];
  const stream = busy.request({ ":path": "/" });
  await once(stream, "data");
  await once(silent, "close");
  expect(busy.closed).toBe(false);
  stream.close();
  await once(busy, "close");
  server.close();
});
