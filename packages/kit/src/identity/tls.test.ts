// Real sockets on loopback: who is let in, who is refused, and by whom.
import { mkdtemp, rm } from "node:fs/promises";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createManualClock } from "../clock.ts";
import { type Authority, openAuthority } from "./authority.ts";
import { pinnedTrust } from "./pin.ts";
import type { IdentityMaterial, IdentitySource } from "./source.ts";
import {
  connectMutualTls,
  createMutualTlsServer,
  followRotation,
  type MutualTlsServer,
  type MutualTlsServerOptions,
  peerSpiffeId,
  secureClientOptions,
  secureServerOptions,
} from "./tls.ts";

const hour = 3_600_000;
const id = (name: string) => `spiffe://aether.local/${name}`;
let dir: string;
let authority: Authority;
let stranger: Authority; // another key under the same trust domain
let elsewhere: Authority;
const open: { stop(): unknown }[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-tls-"));
  authority = await openAuthority(join(dir, "a"), { trustDomain: "aether.local" });
  stranger = await openAuthority(join(dir, "b"), { trustDomain: "aether.local" });
  elsewhere = await openAuthority(join(dir, "c"), { trustDomain: "elsewhere" });
});
afterAll(() => rm(dir, { recursive: true, force: true }));
afterEach(async () => {
  for (const member of open.splice(0)) await member.stop();
});

/** An identity that rotates when the test says so. */
function source(material: IdentityMaterial): IdentitySource & { rotate(next: IdentityMaterial): void } {
  const listeners = new Set<(material: IdentityMaterial) => void>();
  let current = material;
  return {
    current: () => current,
    onRotate: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    rotate(next) {
      current = next;
      for (const listener of listeners) listener(next);
    },
  };
}
const identity = async (name: string, by = authority) => source(await by.issueMaterial(`spiffe://${by.trustDomain}/${name}`, hour));

async function serve(options: Omit<MutualTlsServerOptions, "onConnection"> & Partial<MutualTlsServerOptions>) {
  const accepted: (string | undefined)[] = [];
  const server: MutualTlsServer = createMutualTlsServer({
    onConnection(socket, peer) {
      accepted.push(peer);
      socket.on("error", () => socket.destroy());
      socket.on("data", (chunk) => socket.write(chunk));
      socket.on("end", () => socket.end());
      socket.write(`hello ${peer}\n`);
    },
    ...options,
  });
  open.push(server);
  return { ...(await server.listen(0, "127.0.0.1")), accepted, server };
}

/** The first bytes that the server says, or what went wrong instead. */
async function greeting(socket: tls.TLSSocket): Promise<string> {
  try {
    return await new Promise<string>((resolve, reject) => {
      socket.once("data", (chunk: Buffer) => resolve(chunk.toString().trim()));
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("closed")));
      socket.once("end", () => reject(new Error("ended")));
    });
  } finally {
    socket.destroy();
  }
}

async function connect(to: { port: number }, as: IdentitySource, trust: Parameters<typeof secureClientOptions>[1] = id("core")) {
  return connectMutualTls({ identity: as, host: "127.0.0.1", port: to.port, trust, deadlineMs: 3000 });
}

describe("mutual TLS", () => {
  it("lets the right peer in and tells both who the other is", async () => {
    const server = await serve({ identity: await identity("core") });
    const socket = await connect(server, await identity("node/n1"));
    expect(peerSpiffeId(socket, "aether.local")).toBe(id("core"));
    expect(socket.getProtocol()).toBe("TLSv1.3");
    expect(await greeting(socket)).toBe(`hello ${id("node/n1")}`);
  });

  it("refuses a server that is another node, of another trust domain, of another authority, expired, or not allowed", async () => {
    const client = await identity("node/n1");
    const refused = { code: "IDENTITY_REJECTED" };
    await expect(connect(await serve({ identity: await identity("node/n2") }), client)).rejects.toMatchObject(refused);
    await expect(connect(await serve({ identity: await identity("core", elsewhere) }), client)).rejects.toMatchObject(refused);
    await expect(connect(await serve({ identity: await identity("core", stranger) }), client)).rejects.toMatchObject(refused);
    const clock = createManualClock(Date.now() - 2 * hour);
    const past = await openAuthority(join(dir, "a"), { trustDomain: "aether.local", clock });
    await expect(connect(await serve({ identity: await identity("core", past) }), client)).rejects.toMatchObject(refused);
    await expect(
      connect(await serve({ identity: await identity("node/n2") }), client, (peer) => peer.endsWith("/n3")),
    ).rejects.toMatchObject(refused);
    const trusted = await connect(await serve({ identity: await identity("node/n3") }), client, (peer) => peer.endsWith("/n3"));
    expect(await greeting(trusted)).toContain("hello");
  });

  it("refuses clients the same way, without calling the handler", async () => {
    const server = await serve({ identity: await identity("core"), trust: (peer) => peer === id("node/n1") });
    const clock = createManualClock(Date.now() - 2 * hour);
    const past = await openAuthority(join(dir, "a"), { trustDomain: "aether.local", clock });
    const bundle = authority.trustBundlePem;
    const clients = [
      await identity("node/n2"), // right authority, wrong node
      source({ ...(await stranger.issueMaterial(id("node/n1"), hour)), trustBundlePem: bundle }),
      source({ ...(await past.issueMaterial(id("node/n1"), hour)) }), // expired
    ];
    for (const client of clients) {
      const answer = connect(server, client).then(greeting);
      await expect(answer).rejects.toThrow();
    }
    const foreign = source({ ...(await elsewhere.issueMaterial("spiffe://elsewhere/node/n1", hour)), trustBundlePem: bundle });
    // Its own side would refuse the server first: connect without that check, to see the server's.
    const raw = tls.connect({
      host: "127.0.0.1",
      port: server.port,
      rejectUnauthorized: false,
      cert: foreign.current().certificateChainPem,
      key: foreign.current().privateKeyPem,
    });
    await expect(greeting(raw)).rejects.toThrow();
    const anonymous = tls.connect({ host: "127.0.0.1", port: server.port, rejectUnauthorized: false });
    await expect(greeting(anonymous)).rejects.toThrow();
    expect(server.accepted).toEqual([]);
    expect(await greeting(await connect(server, await identity("node/n1")))).toBe(`hello ${id("node/n1")}`);
  });

  it("refuses TLS 1.2", async () => {
    const server = await serve({ identity: await identity("core") });
    const { cert, key } = secureServerOptions(await identity("node/n1"));
    const old = tls.connect({ host: "127.0.0.1", port: server.port, cert, key, rejectUnauthorized: false, maxVersion: "TLSv1.2" });
    await expect(greeting(old)).rejects.toThrow();
  });

  it("with optional client certificates: nobody is undefined, and a bad certificate is not nobody", async () => {
    const server = await serve({ identity: await identity("core"), requestClientCertificate: "optional" });
    const anonymous = tls.connect({ host: "127.0.0.1", port: server.port, ...secureClientOptions(authority, id("core")) });
    expect(await greeting(anonymous)).toBe("hello undefined");
    const bad = source({ ...(await stranger.issueMaterial(id("node/n1"), hour)), trustBundlePem: authority.trustBundlePem });
    await expect(connect(server, bad).then(greeting)).rejects.toThrow();
    expect(server.accepted).toEqual([undefined]);
  });

  it("never takes the authority's own certificate for a workload", async () => {
    const root = secureServerOptions(await identity("core"));
    const server = await serve({ identity: await identity("core") });
    const { readFile } = await import("node:fs/promises");
    const key = (await readFile(join(dir, "a", "authority.pem"), "utf8")).split("-----BEGIN CERTIFICATE")[0]!;
    const asRoot = tls.connect({ host: "127.0.0.1", port: server.port, rejectUnauthorized: false, cert: root.ca, key });
    await expect(greeting(asRoot)).rejects.toThrow();
    expect(server.accepted).toEqual([]);
  });

  it("takes a new certificate for new connections while open ones go on", async () => {
    const [core, node] = [await identity("core"), await identity("node/n1")];
    const server = await serve({ identity: core });
    const first = await connect(server, node);
    const echoed: string[] = [];
    first.on("data", (chunk: Buffer) => echoed.push(chunk.toString()));
    const before = first.getPeerX509Certificate()?.serialNumber;
    core.rotate(await authority.issueMaterial(id("core"), hour));
    node.rotate(await authority.issueMaterial(id("node/n1"), hour));
    const second = await connect(server, node);
    const after = second.getPeerX509Certificate()?.serialNumber;
    expect(after).not.toBe(before);
    expect(second.getX509Certificate()?.serialNumber).not.toBe(first.getX509Certificate()?.serialNumber);
    expect(await greeting(second)).toContain("hello");
    first.write("still here");
    await expect.poll(() => echoed.join(""), { timeout: 5000 }).toContain("still here");
    first.destroy();
  });

  it("carries an HTTP/2 stream over a rotation", async () => {
    const core = await identity("core");
    const server = http2.createSecureServer(secureServerOptions(core, "optional"));
    followRotation(server, core);
    server.on("stream", (stream) => {
      stream.respond({ ":status": 200, peer: peerSpiffeId(stream.session!.socket as tls.TLSSocket, "aether.local") ?? "nobody" });
      stream.pipe(stream);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const session = http2.connect(url, secureClientOptions(await identity("node/n1"), id("core")));
    const stream = session.request({ ":path": "/", ":method": "POST" });
    const headers = await new Promise<http2.IncomingHttpHeaders>((resolve) => stream.once("response", resolve));
    expect(headers.peer).toBe(id("node/n1"));
    const serial = (session.socket as tls.TLSSocket).getPeerX509Certificate()?.serialNumber;
    core.rotate(await authority.issueMaterial(id("core"), hour));
    stream.write("over the rotation");
    const echo = await new Promise<Buffer>((resolve) => stream.once("data", resolve));
    expect(echo.toString()).toBe("over the rotation");
    const later = http2.connect(url, secureClientOptions(authority, id("core")));
    await new Promise<void>((resolve) => later.once("connect", () => resolve()));
    expect((later.socket as tls.TLSSocket).getPeerX509Certificate()?.serialNumber).not.toBe(serial);
    session.destroy();
    later.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  it("says what was not reachable, and keeps its deadline", async () => {
    const client = await identity("node/n1");
    const { port, server } = await serve({ identity: await identity("core") });
    await server.stop();
    await expect(connect({ port }, client)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    const { createServer } = await import("node:net");
    const silent = createServer((socket) => socket.on("error", () => socket.destroy()));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const to = (silent.address() as AddressInfo).port;
    const connection = { identity: client, host: "127.0.0.1", port: to, trust: id("core") };
    await expect(connectMutualTls({ ...connection, deadlineMs: 100 })).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    const controller = new AbortController();
    const connecting = connectMutualTls({ ...connection, deadlineMs: 5000 }, controller.signal);
    controller.abort(new Error("enough"));
    await expect(connecting).rejects.toThrow("enough");
    silent.close();
  });

  it("says in words what a peer that speaks no TLS did, without OpenSSL's lines and addresses", async () => {
    const { createServer } = await import("node:net");
    const other = createServer((socket) => socket.on("error", () => socket.destroy()).end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const { port } = other.address() as AddressInfo;
    const expected = { code: "UNAVAILABLE", message: expect.stringMatching(/^cannot reach 127\.0\.0\.1:\d+: TLS: [a-z ]+$/) };
    await expect(connect({ port }, await identity("node/n1"))).rejects.toMatchObject(expected);
    await expect(pinnedTrust({ host: "127.0.0.1", port, pin: authority.spkiPin(), deadlineMs: 5000 })).rejects.toMatchObject(expected);
    other.close();
  });

  it("stops with connections open", async () => {
    const { server, ...to } = await serve({ identity: await identity("core") });
    const socket = await connect(to, await identity("node/n1"));
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => socket.destroy());
    await server.stop();
    socket.destroy();
    await closed;
    await server.stop();
  });
});

describe("first contact by a pin", () => {
  it("learns the bundle of the pinned authority, with which the server is then verified", async () => {
    const { port } = await serve({ identity: await identity("core"), requestClientCertificate: "optional" });
    const contact = { host: "127.0.0.1", port, pin: authority.spkiPin(), deadlineMs: 3000 };
    const bundle = await pinnedTrust(contact);
    expect(bundle.trustBundlePem.trim()).toBe(authority.trustBundlePem.trim());
    const socket = tls.connect({ host: "127.0.0.1", port, ...secureClientOptions(bundle, id("core")) });
    expect(await greeting(socket)).toBe("hello undefined");
  });

  it("refuses another authority, and a stolen root that did not sign the leaf", async () => {
    const pin = authority.spkiPin();
    const other = await serve({ identity: await identity("core", stranger), requestClientCertificate: "optional" });
    await expect(pinnedTrust({ host: "127.0.0.1", port: other.port, pin, deadlineMs: 3000 })).rejects.toMatchObject({
      code: "IDENTITY_REJECTED",
    });
    const forged = await stranger.issueMaterial(id("core"), hour);
    const leafOnly = forged.certificateChainPem.replace(forged.trustBundlePem, "");
    const chain = `${leafOnly}${authority.trustBundlePem}`;
    const thief = await serve({
      identity: source({ ...forged, certificateChainPem: chain }),
      requestClientCertificate: "optional",
    });
    await expect(pinnedTrust({ host: "127.0.0.1", port: thief.port, pin, deadlineMs: 3000 })).rejects.toMatchObject({
      code: "IDENTITY_REJECTED",
    });
  });

  it("says when there is nobody", async () => {
    const { port, server } = await serve({ identity: await identity("core") });
    await server.stop();
    await expect(pinnedTrust({ host: "127.0.0.1", port, pin: authority.spkiPin(), deadlineMs: 3000 })).rejects.toMatchObject({
      code: "UNAVAILABLE",
    });
  });
});
