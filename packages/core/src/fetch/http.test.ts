// Against a server on this machine that behaves as badly as one may.
import http from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type GetOptions, getDocument } from "./http.ts";
import { isPrivateAddress } from "./private-address.ts";

const options: GetOptions = { timeoutMs: 400, mostBytes: 1_000, allowPrivateAddresses: true };
const never = new AbortController().signal;
let server: http.Server;
let base: string;
let seen: http.IncomingMessage | undefined;
const routes: Record<string, (request: http.IncomingMessage, response: http.ServerResponse) => void> = {
  "/ok": (_, response) => void response.setHeader("etag", '"v1"').end("hello"),
  "/same": (request, response) => void response.writeHead(request.headers["if-none-match"] === '"v1"' ? 304 : 200).end(),
  "/large": (_, response) => void response.end("x".repeat(2_000)),
  "/endless": (_, response) => {
    const timer = setInterval(() => response.write("x".repeat(300)), 5);
    response.on("close", () => clearInterval(timer));
  },
  "/trickle": (_, response) => {
    const timer = setInterval(() => response.write("x"), 50);
    response.on("close", () => clearInterval(timer));
  },
  "/silent": () => undefined,
  "/cut": (_, response) => {
    response.writeHead(200, { "content-length": "100" }).write("only this");
    setTimeout(() => response.destroy(), 20);
  },
  "/gzip": (_, response) => void response.writeHead(200, { "content-encoding": "gzip" }).end("bomb"),
  "/loop": (_, response) => void response.writeHead(302, { location: "/loop" }).end(),
  "/away": (_, response) => void response.writeHead(302, { location: "/ok" }).end(),
  "/file": (_, response) => void response.writeHead(302, { location: "file:///etc/passwd" }).end(),
  "/busy": (_, response) => void response.writeHead(429, { "retry-after": "120" }).end(),
  "/missing": (_, response) => void response.writeHead(404).end(),
  "/headers": (_, response) => void response.writeHead(200, { "x-long": "y".repeat(30_000) }).end(),
};

beforeAll(async () => {
  server = http.createServer((request, response) => {
    seen = request;
    routes[request.url ?? ""]?.(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

describe("getDocument", () => {
  it("reads a document, what names its version, and asks for what has changed since", async () => {
    expect(await getDocument(`${base}/ok`, options, never)).toEqual({ status: "fresh", text: "hello", etag: '"v1"', lastModified: "" });
    expect(await getDocument(`${base}/same`, { ...options, etag: '"v1"' }, never)).toEqual({ status: "unchanged" });
    expect(await getDocument(`${base}/away`, options, never)).toMatchObject({ text: "hello" });
    expect(seen?.headers.authorization).toBeUndefined();
  });
  it.each([
    ["/large", "REQUEST_TOO_LARGE", /more than 1000 bytes/],
    ["/endless", "REQUEST_TOO_LARGE", /more than 1000 bytes/],
    ["/trickle", "DEADLINE_EXCEEDED", /did not answer in time/],
    ["/silent", "DEADLINE_EXCEEDED", /did not answer in time/],
    ["/cut", "UNAVAILABLE", /127\.0\.0\.1/],
    ["/gzip", "UNAVAILABLE", /sends gzip/],
    ["/loop", "UNAVAILABLE", /redirects/],
    ["/file", "INVALID_ARGUMENT", /only http and https/],
    ["/missing", "UNAVAILABLE", /answers 404/],
    ["/headers", "UNAVAILABLE", /cannot be read \(HPE_HEADER_OVERFLOW\)/],
  ])("ends %s as %s", async (path, code, message) => {
    await expect(getDocument(`${base}${path}`, options, never)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
  it("says how long the server wants to be left alone", async () => {
    await expect(getDocument(`${base}/busy`, options, never)).rejects.toMatchObject({ details: { retryAfterSeconds: "120" } });
  });
  it("does not connect to this machine or a private network, by number, by name, or by redirect", async () => {
    const safe = { ...options, allowPrivateAddresses: false };
    let connections = 0;
    const trap = createTcpServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => trap.listen(0, "127.0.0.1", resolve));
    const { port } = trap.address() as AddressInfo;
    for (const host of ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433", "127.1"])
      await expect(getDocument(`http://${host}:${port}/`, safe, never), host).rejects.toThrow(/private network|does not resolve/);
    expect(connections).toBe(0);
    trap.close();
  });
  it("refuses other schemes, and passwords in a URL", async () => {
    for (const url of ["file:///etc/passwd", "ftp://example.com/", "http://user:secret@example.com/"])
      await expect(getDocument(url, options, never)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});

describe("isPrivateAddress", () => {
  it.each([
    "10.1.2.3",
    "172.31.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1%eth0",
    "fd00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "nonsense",
  ])("%s: yes", (address) => expect(isPrivateAddress(address)).toBe(true));
  it.each(["1.1.1.1", "52.95.110.1", "172.32.0.1", "2606:4700::1111"])("%s: no", (address) =>
    expect(isPrivateAddress(address)).toBe(false),
  );
});
