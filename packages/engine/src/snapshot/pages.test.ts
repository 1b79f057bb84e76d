// What becomes of the pages of an image: pure, but for the page map that is read.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChunkRef } from "./manifest.ts";
import { type PageRun, planPages, readPagemap, type StoredRun } from "./pages.ts";

const pageBytes = 4096;
const lengthsOf = (runs: readonly PageRun[]) =>
  planPages(runs, [], []).chunks.map((pieces) => pieces.reduce((sum, { pages }) => sum + pages, 0));

describe("pages of memory", () => {
  it("are cut at addresses: a page that comes in front changes one chunk", () => {
    const far = { address: 0x7f0000000000, pages: 1 };
    expect(lengthsOf([{ address: 0x10000, pages: 100 }, far])).toEqual([48, 52, 1]);
    expect(lengthsOf([{ address: 0xf000, pages: 101 }, far])).toEqual([49, 52, 1]);
  });

  it("whose place nobody knows are refused", () => {
    expect(() => planPages([{ address: 0x10000, pages: 1 }], [[0, 1]], [])).toThrow(/page at 10000 is not in the snapshot before/);
  });

  it("are what the process had, over any number of snapshots, and no stretch lies in many pieces", () => {
    const base = 0x7f0000000000 - 40 * pageBytes; // in the middle of a stretch
    const count = 150;
    const write = fc.record({ at: fc.nat(count - 1), pages: fc.integer({ min: 1, max: 40 }), isMapped: fc.boolean() });
    fc.assert(
      fc.property(fc.array(fc.array(write, { maxLength: 6 }), { minLength: 1, maxLength: 12 }), (snapshots) => {
        let version = 0;
        const memory: number[] = Array.from({ length: count }, () => ++version);
        const contents = new Map<ChunkRef, number[]>();
        let stored: readonly StoredRun[] = [];
        let isFirst = true;
        for (const writes of [[], ...snapshots]) {
          const written = new Set<number>();
          for (const { at, pages, isMapped } of writes)
            for (let i = at; i < Math.min(count, at + pages); i++) {
              memory[i] = isMapped ? ++version : 0; // 0: it is there no more
              written.add(i);
            }
          const there = memory.flatMap((value, i) => (value === 0 ? [] : [i]));
          const runs = there.map((i) => ({ address: base + i * pageBytes, pages: 1 }));
          const holes = isFirst ? [] : there.flatMap((i, at) => (written.has(i) ? [] : [[at, 1] as const]));
          const plan = planPages(runs, holes, stored);
          const refs = plan.chunks.map((pieces) => {
            const ref: ChunkRef = { id: String(contents.size), key: "", plain: "", bytes: 0 };
            const values = pieces.flatMap((piece) =>
              "at" in piece
                ? Array.from({ length: piece.pages }, (_, i) => memory[there[piece.at + i] ?? -1] ?? -1)
                : (contents.get(piece.chunk) ?? []).slice(piece.from, piece.from + piece.pages),
            );
            contents.set(ref, values);
            return ref;
          });
          stored = plan.runs.map((run) => ({ ...run, chunk: typeof run.chunk === "number" ? refs[run.chunk]! : run.chunk }));
          const back = stored.flatMap(({ chunk, from, pages }) => contents.get(chunk)!.slice(from, from + pages));
          expect(back).toEqual(memory.filter((value) => value !== 0));
          isFirst = false;
        }
      }),
      { numRuns: 60 },
    );
  });

  it("are read off criu's page map", async () => {
    const dir = await mkdtemp(join(tmpdir(), "aether-pages-"));
    try {
      const varint = (value: bigint): number[] => (value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)]);
      const message = (...fields: [number, bigint][]) => {
        const body = Buffer.from(fields.flatMap(([field, value]) => [field << 3, ...varint(value)]));
        const length = Buffer.alloc(4);
        length.writeUInt32LE(body.length);
        return Buffer.concat([length, body]);
      };
      const magic = Buffer.alloc(8);
      magic.writeUInt32LE(0x54564319, 0);
      const entries: [bigint, bigint, bigint][] = [
        [0x10000n, 100n, 4n],
        [0x90000n, 3n, 1n], // in an earlier dump, not in this image
        [0x7f0000000000n, 1n, 4n],
      ];
      const file = join(dir, "pagemap-1.img");
      const body = entries.map(([address, count, flags]) => message([1, address], [2, count], [4, flags]));
      await writeFile(file, Buffer.concat([magic, message([1, 3n]), ...body]));
      expect(await readPagemap(file)).toEqual({
        pagesId: 3,
        runs: [
          { address: 0x10000, pages: 100 },
          { address: 0x7f0000000000, pages: 1 },
        ],
      });
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
