// Who calls the port between nodes and is not meant to: what he says, how long he may say nothing, and how many of him there are.
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { until } from "@aether/kit";
import type { IdentityMaterial } from "@aether/kit/identity";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { createTestLinks, type TestLinks } from "../testing/links.ts";
import { isRefusal, type Link } from "./link.ts";

const signal = new AbortController().signal;
let dir: string;
let links: TestLinks;
let stranger: TestLinks;
let target: Link;
let source: Link;
let other: Link;
let taken: string[];
const open: Socket[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-link-"));
  links = await createTestLinks(join(dir, "a"));
  stranger = await createTestLinks(join(dir, "b"));
  [target, source, other] = await Promise.all([links.open("n2"), links.open("n1"), links.open("n3")]);
}, 30_000);
afterAll(async () => {
  await Promise.all([target, source, other].map((link) => link.stop()));
  await rm(dir, { recursive: true, force: true });
});
beforeEach(() => {
  taken = [];
  target.admit("mig-1", "n1", async ({ socket, header }) => {
    taken.push(header.channel);
    socket.destroy();
  });
});
afterEach(() => {
  vi.useRealTimers();
  for (const socket of open.splice(0)) socket.destroy();
});

const peer = () => ({ nodeId: "n2", address: target.address, port: target.port });
const letIn = async () => {
  const { socket } = await source.connect(peer(), { migrationId: "mig-1", channel: "images" }, signal);
  open.push(socket);
};
function kept<T extends Socket>(socket: T): T {
  open.push(socket);
  socket.on("error", () => undefined);
  socket.resume();
  return socket;
}
const silent = () => kept(connectTcp(target.port, target.address));
const closed = (socket: Socket) => until("the connection to be closed", 5, 5_000, async () => socket.closed || undefined);

async function asNode(material: IdentityMaterial | undefined): Promise<TLSSocket> {
  const shown = material && { cert: material.certificateChainPem, key: material.privateKeyPem };
  const options = { host: target.address, port: target.port, rejectUnauthorized: false, ALPNProtocols: ["aether-link/1"] };
  return kept(connectTls({ ...options, ...shown }));
}

describe("the port between nodes", () => {
  it("who connects and says nothing, however often, keeps nobody out, and few of him stay", async () => {
    const crowd = Array.from({ length: 300 }, silent);
    await Promise.all(crowd.map((socket) => once(socket, "connect")));
    await letIn();
    await until("most of them to be turned out", 10, 5_000, async () => crowd.filter((socket) => socket.closed).length >= 172 || undefined);
    expect(taken).toEqual(["images"]);
  });

  it("so is a node of the fleet that says nothing", async () => {
    const material = await links.material("n3");
    const crowd = await Promise.all(Array.from({ length: 140 }, () => asNode(material)));
    await letIn();
    await until("some of them to be turned out", 10, 10_000, async () => crowd.filter((socket) => socket.closed).length >= 12 || undefined);
    expect(taken).toEqual(["images"]);
  });

  it("silence ends after ten seconds: before the first byte, and in the middle of the first line", async () => {
    const half = await asNode(await links.material("n1"));
    await once(half, "secureConnect");
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const nothing = silent();
    await once(nothing, "connect");
    half.write('{"migrationId":"mig');
    // What arrives is read by the event loop, which nobody has to wait for in made-up time: both deadlines have begun when the next two connections were taken.
    await letIn();
    await letIn();
    await vi.advanceTimersByTimeAsync(9_000);
    expect([nothing.closed, half.closed]).toEqual([false, false]);
    await vi.advanceTimersByTimeAsync(1_100);
    vi.useRealTimers();
    await Promise.all([closed(nothing), closed(half)]);
  });

  it.each([
    ["a certificate of nobody", async () => undefined],
    ["one of another authority", () => stranger.material("n1")],
  ])("%s is refused, and what it says is not heard", async (_, material) => {
    const socket = await asNode(await material());
    socket.write('{"migrationId":"mig-1","channel":"images"}\n');
    await closed(socket);
    expect(taken).toEqual([]);
  });

  it.each([
    ["a line without an end", "x".repeat(5_000)],
    ["a line that is too long", `{"migrationId":"mig-1","channel":"images","more":"${"x".repeat(5_000)}"}\n`],
    ["no JSON", "GET / HTTP/1.1\r\n\r\n"],
    ["a channel that there is not", '{"migrationId":"mig-1","channel":"shell"}\n'],
    ["an id that is too long", `{"migrationId":"${"m".repeat(65)}","channel":"images"}\n`],
    ["no id", '{"channel":"images"}\n'],
  ])("%s ends the connection of a node that may speak", async (_, text) => {
    const socket = await asNode(await links.material("n1"));
    socket.write(text);
    await closed(socket);
    expect(taken).toEqual([]);
  });

  it("a migration that there is not, or of which the caller is no part, is refused with the reason", async () => {
    const asked = [
      source.connect(peer(), { migrationId: "mig-2", channel: "images" }, signal),
      other.connect(peer(), { migrationId: "mig-1", channel: "images" }, signal),
      other.connect(peer(), { migrationId: "mig-1", channel: "probe" }, signal),
    ];
    for (const answer of await Promise.allSettled(asked)) {
      expect(answer).toMatchObject({ status: "rejected", reason: { message: "n2: this node does not expect you for this migration" } });
      expect(answer.status === "rejected" && isRefusal(answer.reason)).toBe(true);
    }
    expect(taken).toEqual([]);
  });
});
