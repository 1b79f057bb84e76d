import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestLinks } from "../testing/links.ts";
import type { Link } from "./link.ts";
import { probe } from "./probe.ts";

const signal = new AbortController().signal;
let dir: string;
let a: Link;
let b: Link;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-probe-"));
  const links = await createTestLinks(dir);
  [a, b] = await Promise.all([links.open("n1"), links.open("n2")]);
}, 30_000);
afterAll(async () => {
  await Promise.all([a.stop(), b.stop()]);
  await rm(dir, { recursive: true, force: true });
});
const peer = (nodeId: string, link: Link) => ({ nodeId, address: link.address, port: link.port });

describe("a probe", () => {
  it("measures a rate and a round trip, and sends no more than it may", async () => {
    const found = await probe(a, peer("n2", b), signal);
    expect(found.bytesPerSecond).toBeGreaterThan(1e5);
    expect(found.roundTripMs).toBeGreaterThan(0);
    expect(found.bytes).toBeGreaterThan(0);
    expect(found.bytes).toBeLessThanOrEqual(32 << 20);
  });

  it("is answered one at a time, and only by the node that was meant", async () => {
    const all = await Promise.allSettled([1, 2, 3].map(() => probe(a, peer("n2", b), signal)));
    const refused = all.filter((each) => each.status === "rejected").map((each) => String(each.reason.message));
    expect(all.some(({ status }) => status === "fulfilled")).toBe(true);
    expect(refused.every((message) => message.includes("another probe runs here"))).toBe(true);
    await expect(probe(a, peer("n3", b), signal)).rejects.toThrow();
    // And again afterwards.
    expect((await probe(b, peer("n1", a), signal)).bytes).toBeGreaterThan(0);
  });
});
