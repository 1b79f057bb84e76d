// The connection on which two helpers carry memory: who is let in, and what is left of the key afterwards. Node's own TLS is the other end.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, readlinkSync, readSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import tls from "node:tls";
import { createManualClock, until } from "@aether/kit";
import { type IdentityMaterial, openAuthority } from "@aether/kit/identity";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { missingProgram, native } from "./native-program.ts";

/** Why TLS cannot be tested here; undefined when it can. */
async function missingTls(): Promise<string | undefined> {
  const absent = missingProgram();
  if (absent !== undefined) return absent;
  const child = spawn(native, ["features"], { stdio: ["ignore", "pipe", "ignore"] });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  return JSON.parse(said.toString()).tls === null ? "the native program was built without OpenSSL (libssl-dev)" : undefined;
}
const missing = await missingTls();

const trust = "test.local";
const secret = "5".repeat(64);
const hour = 3_600_000;
const alpn = "aether-pages/1";

function frame(kind: number, address: number, pages: number): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32LE(0x6165_0000 + kind, 0);
  bytes.writeBigUInt64LE(BigInt(address), 8);
  bytes.writeBigUInt64LE(BigInt(pages), 16);
  return bytes;
}
/** A whole stream of a source that has nothing to send (wire.h): the key of its hashes, which has 520 words, and the end. */
const version = Number(
  /#define WIRE_VERSION (\d+)/.exec(readFileSync(join(import.meta.dirname, "../../native/src/memory/wire.h"), "utf8"))?.[1],
);
const emptyStream = Buffer.concat([frame(1, version, 520), Buffer.alloc(520 * 8, 1), frame(8, 0, 0)]);

interface Running {
  readonly child: ChildProcess;
  readonly data: Duplex;
  readonly lines: Record<string, unknown>[];
  readonly said: () => string;
}

describe.skipIf(missing !== undefined)(`pages from helper to helper${missing ? ` (skipped: ${missing})` : ""}`, () => {
  const dir = mkdtempSync(join(tmpdir(), "aether-pages-"));
  const running: Running[] = [];
  const servers: Server[] = [];
  let own: IdentityMaterial;
  const others: Record<string, IdentityMaterial> = {};

  beforeAll(async () => {
    const authority = await openAuthority(join(dir, "a"), { trustDomain: trust });
    const stranger = await openAuthority(join(dir, "b"), { trustDomain: trust });
    const elsewhere = await openAuthority(join(dir, "c"), { trustDomain: "elsewhere" });
    const before = await openAuthority(join(dir, "a"), { trustDomain: trust, clock: createManualClock(Date.now() - 30_000) });
    own = await authority.issueMaterial(`spiffe://${trust}/node/n1`, hour);
    others.peer = await authority.issueMaterial(`spiffe://${trust}/node/n2`, hour);
    others.third = await authority.issueMaterial(`spiffe://${trust}/node/n3`, hour);
    others.core = await authority.issueMaterial(`spiffe://${trust}/core`, hour);
    others.stranger = await stranger.issueMaterial(`spiffe://${trust}/node/n2`, hour);
    others.elsewhere = await elsewhere.issueMaterial("spiffe://elsewhere/node/n2", hour);
    others.expired = await before.issueMaterial(`spiffe://${trust}/node/n2`, 1000);
  });
  afterEach(() => {
    for (const { child } of running.splice(0)) child.kill("SIGKILL");
    for (const server of servers.splice(0)) server.close();
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  function start(...command: string[]): Running {
    const child = spawn(native, [...command, "--data-fd", "3"], { stdio: ["pipe", "pipe", "pipe", "pipe"] });
    const lines: Record<string, unknown>[] = [];
    let [pending, errors] = ["", ""];
    child.stdout?.on("data", (chunk: Buffer) => {
      const parts = (pending + chunk.toString()).split("\n");
      pending = parts.pop() ?? "";
      lines.push(...parts.map((part) => JSON.parse(part)));
    });
    (child.stdio[2] as Readable).on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    const data = child.stdio[3] as Duplex;
    data.on("error", () => undefined);
    const one = { child, data, lines, said: () => errors };
    running.push(one);
    return one;
  }
  const keep = () => start("memory-keep");
  const source = () => start("memory-source", "--procs", join(dir, "none"), "--answers", join(dir, "answers"), "--handed", "1");
  const line = (helper: Running, event: string) =>
    until(`the line ${event}`, 5, 5000, async () => helper.lines.find((each) => each.event === event));

  async function handOver(helper: Running, socket: Socket, peer: string): Promise<void> {
    const child = spawn(native, ["hand-over"], { stdio: ["ignore", "inherit", "inherit", socket, helper.data] });
    helper.data.resume();
    expect((await once(child, "close"))[0]).toBe(0);
    socket.destroy();
    for (const text of [peer, secret, own.certificateChainPem, own.privateKeyPem, own.trustBundlePem]) {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(Buffer.byteLength(text));
      helper.data.write(Buffer.concat([length, Buffer.from(text)]));
    }
  }

  /** A connection: our end, and the one that a helper may have. */
  async function pair(): Promise<[Socket, Socket]> {
    const server = createServer();
    servers.push(server);
    await once(server.listen(0, "127.0.0.1"), "listening");
    const ours = connect((server.address() as AddressInfo).port, "127.0.0.1");
    ours.on("error", () => undefined);
    const [theirs] = (await once(server, "connection")) as [Socket];
    return [ours, theirs];
  }

  /** A client with this certificate comes to a memory-keep that expects node n2. */
  async function come(helper: Running, material: IdentityMaterial, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
    const [ours, theirs] = await pair();
    await handOver(helper, theirs, `spiffe://${trust}/node/n2`);
    expect(String((await once(ours, "data"))[0])).toBe("go\n");
    const socket = tls.connect({
      ...{ socket: ours, cert: material.certificateChainPem, key: material.privateKeyPem, ca: own.trustBundlePem },
      ...{ ALPNProtocols: [alpn], checkServerIdentity: () => undefined },
      ...options,
    });
    socket.on("error", () => undefined);
    return socket;
  }

  it("the right node with the right secret is let in, and the key is nowhere in the helper's memory then", async () => {
    const helper = keep();
    await line(helper, "ready");
    const socket = await come(helper, others.peer!);
    await once(socket, "secureConnect");
    expect([socket.getProtocol(), socket.getCipher().standardName]).toEqual(["TLSv1.3", "TLS_AES_128_GCM_SHA256"]);
    socket.write(secret);
    expect(String((await once(socket, "data"))[0])).toBe("w");
    expect(await line(helper, "connection")).toEqual({ event: "connection" });
    if (process.getuid?.() === 0) {
      const pem = own.privateKeyPem.split("\n").slice(1, -2).join("").slice(0, 40);
      const found = findInMemory(helper.child.pid!, [Buffer.from(pem), scalarOf(own.privateKeyPem), Buffer.from("memory-keep")]);
      expect(found).toEqual([false, false, true]); // the last one is there, in its arguments
    }
    for (let at = 0; at < emptyStream.length; at += 1000) socket.write(emptyStream.subarray(at, at + 1000));
    expect(await line(helper, "sealed")).toMatchObject({ keptPages: 0 });
  });

  it.each([
    ["another node", "third", "not the node of this move"],
    ["the control plane", "core", "not the node of this move"],
    ["the same name by another authority", "stranger", "the handshake failed"],
    ["another trust domain", "elsewhere", "the handshake failed"],
    ["an expired certificate", "expired", "certificate has expired"],
  ])("%s is refused, and the agents may carry the pages after that", async (_who, name, reason) => {
    const helper = keep();
    const socket = await come(helper, others[name]!);
    socket.once("secureConnect", () => socket.write(secret));
    expect(await line(helper, "connection")).toMatchObject({ reason: expect.stringContaining(reason) });
    helper.data.write(emptyStream);
    expect(await line(helper, "sealed")).toMatchObject({ keptPages: 0 });
  });

  it.each([
    ["an older TLS", { maxVersion: "TLSv1.2" as const }, "handshake failed"],
    ["another protocol", { ALPNProtocols: ["aether-link/1"] }, "handshake failed"],
    ["no certificate", { cert: undefined, key: undefined }, "handshake failed"],
  ])("%s is refused", async (_what, options, reason) => {
    const helper = keep();
    await come(helper, others.peer!, options as tls.ConnectionOptions);
    expect(await line(helper, "connection")).toMatchObject({ reason: expect.stringContaining(reason) });
  });

  it("the right node of another move is refused; what breaks in the middle is no whole stream", async () => {
    const helper = keep();
    const wrong = await come(helper, others.peer!);
    wrong.once("secureConnect", () => wrong.write("6".repeat(64)));
    expect(await line(helper, "connection")).toMatchObject({ reason: expect.stringContaining("secret") });
    helper.lines.length = 0;
    const socket = await come(helper, others.peer!);
    socket.once("secureConnect", () => socket.write(secret));
    await line(helper, "connection");
    socket.end(emptyStream.subarray(0, 4200));
    expect((await once(helper.child, "close"))[0]).toBe(1);
    expect(helper.said()).toContain("the stream of pages broke");
  });

  it("its caller's end ends a helper that waits for its peer", async () => {
    const helper = keep();
    await come(helper, others.peer!);
    helper.data.destroy();
    expect((await once(helper.child, "close"))[0]).toBe(1);
  });

  it.each([
    ["peer", undefined],
    ["third", "not the node of this move"],
    ["stranger", "the handshake failed"],
    ["expired", "certificate has expired"],
  ])("a source speaks only to the node that it was told: %s", async (name, reason) => {
    const [ours, theirs] = await pair();
    const material = others[name]!;
    const server = tls.createServer({
      ...{ cert: material.certificateChainPem, key: material.privateKeyPem, ca: own.trustBundlePem, ALPNProtocols: [alpn] },
      ...{ requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.3" as const },
    });
    server.on("secureConnection", (socket) => {
      socket.on("error", () => undefined);
      socket.once("data", (chunk: Buffer) => chunk.toString() === secret && socket.write("w"));
    });
    server.on("tlsClientError", () => undefined);
    server.emit("connection", ours);
    const helper = source();
    await handOver(helper, theirs, `spiffe://${trust}/node/n2`);
    await once(helper.child, "close");
    expect(helper.lines.filter(({ event }) => event === "connection")).toHaveLength(reason === undefined ? 1 : 0);
    expect(helper.said()).toContain(reason ?? "no process of the workload can be tracked");
  });

  it.skipIf(process.getuid?.() !== 0)(
    "criu gets one end of a connection that no network of this host has, and agents may carry what goes over it",
    async () => {
      const answer = 'IFS= read -r word <&4 && echo "$word, answered" >&4; cat <&4 >&2';
      const criu = spawn(native, ["launch", "--receive-fd", "4", "--", "bash", "-c", answer], {
        stdio: ["ignore", "ignore", "inherit", "ignore", "pipe"],
      });
      const line = criu.stdio[4] as Duplex;
      const serve = spawn(native, ["pages-serve", "--criu", String(criu.pid), "--data-fd", "3", "--criu-fd", "4"], {
        stdio: ["pipe", "pipe", "inherit", "pipe", line],
      });
      line.destroy();
      running.push(...[criu, serve].map((child) => ({ child, data: line, lines: [], said: () => "" })));
      const data = serve.stdio[3] as Duplex;
      data.write("asked\n");
      expect(String((await once(data, "data"))[0])).toBe("asked, answered\n");
      const inode = /socket:\[(\d+)\]/.exec(readlinkSync(`/proc/${criu.pid}/fd/4`))?.[1] ?? "";
      expect(inode).not.toBe("");
      for (const table of ["tcp", "unix"])
        expect(readFileSync(`/proc/${criu.pid}/net/${table}`, "utf8")).not.toMatch(new RegExp(`\\b${inode}\\b`));
      data.end(); // the agent's end is the helper's, and the connection's
      expect(await Promise.all([once(serve, "exit"), once(criu, "exit")])).toEqual([
        [0, null],
        [0, null],
      ]);
    },
  );
});

/** The secret number of a P-256 key. */
function scalarOf(pem: string): Buffer {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
  const at = der.indexOf(Buffer.from([0x02, 0x01, 0x01, 0x04, 0x20])); // ECPrivateKey, version 1, an octet string of 32 bytes (RFC 5915)
  expect(at).toBeGreaterThan(0);
  return der.subarray(at + 5, at + 37);
}

/** Which of these lie in the writable memory of a process. */
function findInMemory(pid: number, wanted: readonly Buffer[]): boolean[] {
  const found = wanted.map(() => false);
  const memory = openSync(`/proc/${pid}/mem`, "r");
  for (const [, from, to] of readFileSync(`/proc/${pid}/maps`, "utf8").matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw/gm)) {
    const start = Number.parseInt(from!, 16);
    const bytes = Buffer.alloc(Number.parseInt(to!, 16) - start);
    readSync(memory, bytes, 0, bytes.length, start);
    for (const [index, each] of wanted.entries()) found[index] ||= bytes.includes(each);
  }
  closeSync(memory);
  return found;
}
