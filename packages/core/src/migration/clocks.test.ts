import { CommandResultSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hostClocks } from "./clocks.ts";
import type { CommandFact } from "./state.ts";

const exchange = (sentMs: number, receivedMs: number, beganMs: number, tookMs: number): CommandFact => ({
  id: `cmd-${sentMs}`,
  step: "prepare",
  intendedAtMs: sentMs,
  outcome: "ok",
  finishedAtMs: receivedMs,
  result: create(CommandResultSchema, { phases: [{ name: "prepare.target", startedAt: timestampFromMs(beganMs), durationMs: tookMs }] }),
});

describe("clocks of both hosts", () => {
  it("are bounded by the quickest way down and the quickest way up, of whichever command", () => {
    // The host's clock is 5,000 ms ahead: its times less ours.
    const [clock] = hostClocks([exchange(1000, 1250, 6002, 50), exchange(2000, 2103, 7050, 50)], () => "n1");
    expect(clock).toMatchObject({ nodeId: "n1", exchanges: 2 });
    expect(clock?.offsetMs).toBeCloseTo(-4999.5);
    expect(clock?.uncertaintyMs).toBeCloseTo(3.5);
  });

  it("hold the true offset within what they say, whatever the network did", () => {
    const way = fc.double({ min: 0, max: 400, noNaN: true });
    const one = fc.record({ down: way, up: way, before: way, took: way, at: fc.integer({ min: 0, max: 60_000 }) });
    fc.assert(
      fc.property(fc.integer({ min: -86_400_000, max: 86_400_000 }), fc.array(one, { minLength: 1, maxLength: 8 }), (offsetMs, all) => {
        const base = 1_800_000_000_000;
        const commands = all.map(({ down, up, before, took, at }) => {
          const beganMs = base + at + down + before;
          return exchange(base + at, beganMs + took + up, beganMs - offsetMs, took);
        });
        const [clock] = hostClocks(commands, () => "n1");
        expect(Math.abs((clock?.offsetMs ?? Number.NaN) - offsetMs)).toBeLessThanOrEqual((clock?.uncertaintyMs ?? 0) + 0.01);
      }),
      { numRuns: 200 },
    );
  });

  it("say nothing of a host that has not answered", () => {
    const { result: _none, finishedAtMs: _never, ...sent } = exchange(1, 2, 1, 1);
    expect(hostClocks([sent], () => "n1")).toEqual([]);
  });
});
