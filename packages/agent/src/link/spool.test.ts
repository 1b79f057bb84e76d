import { copyFile, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createManualClock, silentLogger } from "@aether/kit";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openSpool, type Spool, type SpoolKind } from "./spool.ts";

let root: string;
let count = 0;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "aether-agent-spool-"));
});
afterEach(() => rm(root, { recursive: true }));

const startMs = createManualClock().nowMs();
const open = (dir: string, maxBytes = 1 << 20, segmentBytes = 200): Promise<Spool> =>
  openSpool({ dir, maxBytes, segmentBytes, log: silentLogger, clock: createManualClock() });
const sequences = async (spool: Spool, kind: SpoolKind) => (await spool.pending(kind)).map(({ sequence }) => sequence - startMs);
const newest = async (dir: string) => join(dir, (await readdir(dir)).sort().at(-1)!);
const copyDir = async (from: string) => {
  const to = await mkdtemp(join(root, "copy-"));
  for (const name of await readdir(from)) await copyFile(join(from, name), join(to, name));
  return to;
};

describe("the spool", () => {
  it("counts on over restarts, also when everything was acknowledged", async () => {
    const dir = join(root, "a");
    const spool = await open(dir);
    for (let i = 1; i <= 20; i++) {
      await spool.append("signal", startMs + i, Buffer.alloc(50));
      await spool.ack("signal", startMs + i);
    }
    await spool.close();
    expect((await readdir(dir)).length).toBeLessThanOrEqual(2);
    const again = await open(dir);
    expect(again.lastSequence("signal")).toBe(startMs + 20);
    expect(await sequences(again, "signal")).toEqual([]);
    await again.close();
  });

  it("keeps the same sequence once", async () => {
    const spool = await open(join(root, "a"));
    await spool.append("signal", startMs + 1, Buffer.from("a"));
    await spool.append("signal", startMs + 1, Buffer.from("b"));
    expect((await spool.pending("signal")).map(({ payload }) => Buffer.from(payload).toString())).toEqual(["a"]);
    await spool.close();
  });

  it("drops the oldest telemetry before any signal, and stays within its bound", async () => {
    const dir = join(root, "a");
    const maxBytes = 2_000;
    const spool = await open(dir, maxBytes);
    for (let i = 1; i <= 5; i++) await spool.append("signal", startMs + i, Buffer.alloc(40));
    for (let i = 1; i <= 200; i++) await spool.append("telemetry", startMs + i, Buffer.alloc(40));
    expect(spool.bytes()).toBeLessThanOrEqual(maxBytes + 300);
    expect(await sequences(spool, "signal")).toEqual([1, 2, 3, 4, 5]);
    const left = await sequences(spool, "telemetry");
    expect(left.length).toBeGreaterThan(0);
    expect(left).toEqual(Array.from({ length: left.length }, (_, index) => 200 - left.length + 1 + index));
    await spool.close();
    const again = await open(dir, maxBytes);
    expect(await sequences(again, "signal")).toEqual([1, 2, 3, 4, 5]);
    expect(await sequences(again, "telemetry")).toEqual(left);
    await again.close();
  });

  it("drops the oldest signals only when there is nothing else to drop", async () => {
    const spool = await open(join(root, "a"), 1_000);
    for (let i = 1; i <= 100; i++) await spool.append("signal", startMs + i, Buffer.alloc(40));
    expect(spool.bytes()).toBeLessThanOrEqual(1_300);
    const left = await sequences(spool, "signal");
    expect(left.at(-1)).toBe(100);
    expect(left.length).toBeGreaterThan(5);
    await spool.close();
  });

  it("keeps a signal in memory when the disk refuses", async () => {
    const file = join(root, "file");
    await writeFile(file, "");
    const dir = join(root, "a");
    const spool = await open(dir, 1 << 20, 1); // each record needs a new segment
    await rm(dir, { recursive: true });
    await writeFile(dir, "a file where the folder was");
    await spool.append("signal", startMs + 1, Buffer.from("notice"));
    expect((await spool.pending("signal")).map(({ payload }) => Buffer.from(payload).toString())).toEqual(["notice"]);
    await spool.ack("signal", startMs + 1);
    expect(await spool.pending("signal")).toEqual([]);
    await spool.close();
  });

  it("gives up a record that the disk has lost, and tells those that came after it", async () => {
    const dir = join(root, "a");
    const spool = await open(dir, 1 << 20, 10_000);
    for (let i = 1; i <= 3; i++) await spool.append("signal", startMs + i, Buffer.alloc(40, i));
    const file = await newest(dir);
    const bytes = await readFile(file);
    bytes[bytes.indexOf(Buffer.alloc(40, 2))] = 0xff;
    await writeFile(file, bytes);
    expect(await sequences(spool, "signal")).toEqual([1, 3]);
    await spool.append("signal", startMs + 4, Buffer.alloc(40, 4));
    expect(await sequences(spool, "signal")).toEqual([1, 3, 4]);
    await spool.close();
  });

  it("a kill -9 at any moment, with the last record torn at any byte, loses no synced signal and brings back nothing acknowledged for good", async () => {
    type Step = { do: "signal" | "telemetry" | "ack" | "kill" | "tear"; bytes: number };
    const step = fc.record<Step>({
      do: fc.constantFrom("signal", "signal", "telemetry", "ack", "kill", "tear"),
      bytes: fc.integer({ min: 0, max: 120 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        let dir = join(root, `p${++count}`);
        let spool = await open(dir);
        const alive = new Set<number>();
        let next = startMs;
        for (const { do: what, bytes } of steps) {
          if (what === "signal") {
            await spool.append("signal", ++next, Buffer.alloc(bytes, next % 256));
            alive.add(next);
          } else if (what === "telemetry") await spool.append("telemetry", spool.lastSequence("telemetry") + 1, Buffer.alloc(bytes));
          else if (what === "ack") {
            const [first] = alive;
            if (first === undefined) continue;
            await spool.ack("signal", first);
            alive.delete(first);
          } else {
            // A kill: the files as they are now, opened by another process. A tear: what a power loss may leave of the write after it.
            const copy = await copyDir(dir);
            if (what === "tear") {
              const path = await newest(copy);
              await writeFile(path, Buffer.from([bytes, 0, 0, 0, 1, 2, 3, 4, 5].slice(0, 1 + (bytes % 9))), { flag: "a" });
            }
            await spool.close();
            dir = copy;
            spool = await open(dir);
          }
          expect(spool.lastSequence("signal")).toBe(next);
        }
        expect((await spool.pending("signal")).map(({ sequence }) => sequence)).toEqual([...alive]);
        for (const { sequence, payload } of await spool.pending("signal")) {
          expect(payload.every((byte) => byte === sequence % 256)).toBe(true);
        }
        await spool.close();
      }),
      { numRuns: 40 },
    );
  });

  it("cut at any byte, reads a prefix and goes on from there", async () => {
    const dir = join(root, "a");
    const spool = await open(dir, 1 << 20, 10_000);
    for (let i = 1; i <= 6; i++) await spool.append("signal", startMs + i, Buffer.alloc(10, i));
    await spool.close();
    const path = await newest(dir);
    const { size } = await stat(path);
    for (let at = size; at >= 0; at -= 7) {
      const copy = await copyDir(dir);
      await truncate(await newest(copy), at);
      const cut = await open(copy);
      const left = await sequences(cut, "signal");
      expect(left).toEqual(Array.from({ length: left.length }, (_, index) => index + 1));
      const sequence = cut.lastSequence("signal") + 1;
      await cut.append("signal", sequence, Buffer.from("after"));
      await cut.close();
      const again = await open(copy);
      expect((await again.pending("signal")).at(-1)?.sequence).toBe(sequence);
      await again.close();
    }
  });
});
