import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dirtyRate, forecast, judge, linkRate, pageBytes, type Round } from "./rounds.ts";

const none = { privateBytes: 0, sharedBytes: 0, carried: [] };
const holds = (memoryBytes: number) => ({ memoryBytes, classes: none });
const costs = { fixedMs: 100, perGibibyteMs: 30 };
const assumed = { linkBytesPerSecond: 4e8, dirtyBytesPerSecond: 0, basis: "assumed" };

/** What a tracker would tell of a workload that writes `dirty` bytes a second over a link of `link`: a fluid model. */
function simulate(memoryBytes: number, dirty: number, link: number, dueAtMs?: number) {
  const rounds: Round[] = [];
  let nowMs = 0;
  let bytes = memoryBytes;
  for (;;) {
    const durationMs = (bytes / link) * 1000 + 1;
    const pages = Math.ceil(bytes / pageBytes);
    rounds.push({
      number: rounds.length,
      startedAtMs: nowMs,
      durationMs,
      writtenPages: pages,
      sentPages: pages,
      zeroPages: 0,
      sentBytes: bytes,
    });
    nowMs += durationMs;
    const verdict = judge(rounds, nowMs, dueAtMs);
    if (!verdict.again) return { rounds, verdict, nowMs };
    if (rounds.length > 100) throw new Error("never ends");
    bytes = Math.min(memoryBytes, (dirty * durationMs) / 1000);
  }
}

const rate = fc.double({ min: 1e6, max: 4e9, noNaN: true });
const size = fc.integer({ min: 2 ** 22, max: 2 ** 36 });

describe("judge", () => {
  it("always ends, and in a state that it can explain", () => {
    fc.assert(
      fc.property(size, rate, rate, (memory, dirty, link) => {
        const { verdict, rounds } = simulate(memory, dirty, link);
        expect(verdict.end).toBeDefined();
        expect(verdict.detail).not.toBe("");
        expect(rounds.length).toBeLessThanOrEqual(60);
      }),
    );
  });

  it("converges where the link is twice as fast as the writes, with little left", () => {
    fc.assert(
      fc.property(size, fc.double({ min: 1e6, max: 2e9, noNaN: true }), (memory, dirty) => {
        const { verdict, rounds } = simulate(memory, dirty, dirty * 2.5);
        expect(verdict.end).toBe("converged");
        expect(rounds.at(-1)?.sentBytes).toBeLessThanOrEqual(Math.max(2 << 20, dirty * 2.5 * 0.01) + pageBytes);
      }),
    );
  });

  it("gives up soon where the writes are faster than the link", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2 ** 26, max: 2 ** 36 }), fc.double({ min: 1e6, max: 2e8, noNaN: true }), (memory, link) => {
        const { verdict, rounds } = simulate(memory, link * 1.5, link);
        expect(verdict.end).toBe("no-gain");
        expect(rounds.length).toBeLessThanOrEqual(5);
      }),
    );
  });

  it("needs two passes after the first to see that, where they are long", () => {
    const { verdict, rounds } = simulate(2 ** 30, 2e8, 1.2e8);
    expect(verdict).toMatchObject({ end: "no-gain", detail: expect.stringContaining("the link carries") });
    expect(rounds).toHaveLength(3);
  });

  it("is patient where the link is only a little faster than the writes: a pass is cheaper than the freeze that it spares", () => {
    const { verdict, rounds } = simulate(2 ** 30, 8.5e7, 1e8);
    expect(verdict.end).toBe("converged");
    expect(rounds.length).toBeGreaterThan(10);
  });

  it("begins no pass that would end behind the deadline", () => {
    fc.assert(
      fc.property(size, rate, rate, fc.double({ min: 1, max: 1e5, noNaN: true }), (memory, dirty, link, dueAtMs) => {
        const { rounds } = simulate(memory, dirty, link, dueAtMs);
        for (const round of rounds.slice(1)) expect(round.startedAtMs).toBeLessThanOrEqual(dueAtMs);
      }),
    );
  });
});

describe("forecast", () => {
  it("never promises less than the fixed cost, nor a freeze that carries more than all memory", () => {
    fc.assert(
      fc.property(size, rate, rate, (memory, dirty, link) => {
        const { rounds } = simulate(memory, dirty, link);
        const seen = forecast(holds(memory), rounds, costs, assumed);
        expect(seen.freezeMs).toBeGreaterThanOrEqual(costs.fixedMs);
        expect(seen.freezeBytes).toBeLessThanOrEqual(memory);
        expect(seen.totalMs).toBeGreaterThanOrEqual(seen.freezeMs);
      }),
    );
  });

  it("knows before the first pass what a writer that is faster than the link leaves for the freeze: what it writes again counts once", () => {
    // 256 MB under 190 MB/s over 1 Gbit/s: 990 and 1000 ms of the freeze were memory, of 163 MB in the last passes.
    const busy = { linkBytesPerSecond: 1.19e8, dirtyBytesPerSecond: 1.9e8, basis: "assumed" };
    const seen = forecast(holds(256e6), [], costs, busy);
    expect(seen.freezeBytes).toBeGreaterThan(140e6);
    expect(seen.freezeBytes).toBeLessThan(180e6);
    expect(seen.freezeMs).toBeLessThan((256e6 / busy.linkBytesPerSecond) * 1000);
    // And of one that is half as fast: next to nothing.
    expect(forecast(holds(256e6), [], costs, { ...busy, dirtyBytesPerSecond: 6e7 }).freezeMs).toBeLessThan(costs.fixedMs + 40);
  });

  it("measures the link over long passes and the writes between passes", () => {
    const { rounds } = simulate(2 ** 30, 5e7, 5e8);
    expect(linkRate(rounds)).toBeGreaterThan(4.5e8);
    expect(linkRate(rounds)).toBeLessThan(5.1e8);
    expect(dirtyRate(rounds)).toBeGreaterThan(4e7);
    expect(dirtyRate(rounds)).toBeLessThan(7e7);
    expect(linkRate([])).toBeUndefined();
    expect(dirtyRate(rounds.slice(0, 1))).toBeUndefined();
    expect(forecast(holds(2 ** 30), [], costs, assumed).basis).toBe("assumed");
    expect(forecast(holds(2 ** 30), rounds, costs, assumed).basis).toContain("measured");
  });

  it("counts what only images carry into the freeze, and what shared memory costs there", () => {
    const plain = forecast(holds(2 ** 30), [], costs, assumed);
    const huge = forecast(
      { memoryBytes: 2 ** 30, classes: { ...none, carried: [{ kind: "huge_pages", bytes: 2 ** 28, freezeMs: 853 }] } },
      [],
      costs,
      assumed,
    );
    expect(huge.freezeBytes - plain.freezeBytes).toBe(2 ** 28);
    expect(huge.freezeMs).toBeGreaterThan(plain.freezeMs + 500);
    const shared = forecast({ memoryBytes: 2 ** 30, classes: { ...none, sharedBytes: 2 ** 28 } }, [], costs, assumed);
    expect(shared.freezeMs).toBeGreaterThan(plain.freezeMs);
    expect(shared.freezeMs).toBeLessThan(huge.freezeMs);
  });
});
