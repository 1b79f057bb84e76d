import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createAetherZonesPolicy } from "./aether-zones.ts";
import { type MultiJob, type MultiPolicy, simulateZones, type Zone } from "./market.ts";
import { optimumUsd } from "./optimum.ts";
import { regionOf, transferBetween } from "./transfer.ts";

const HOUR = 3600;
const zone = (name: string, bits: readonly number[], spotUsdPerHour = 1, onDemandUsdPerHour = 3): Zone => ({
  name,
  region: regionOf(name),
  trace: { pair: name, zone: name, gapSeconds: 600, available: Uint8Array.from(bits) },
  onDemandUsdPerHour,
  spotUsdPerHour,
});
const jobFor = (zones: readonly Zone[], over: Partial<MultiJob> = {}): MultiJob => ({
  workSeconds: 5 * HOUR,
  deadlineSeconds: 8 * HOUR,
  changeoverSeconds: 720,
  gapSeconds: 600,
  transfer: (from, to) => transferBetween(zones[from]!.name, zones[to]!.name, 50),
  ...over,
});
const market = fc
  .array(fc.nat(12), { minLength: 1, maxLength: 30 })
  .map((runs) => runs.flatMap((length, i) => new Array<number>(length).fill(i % 2)));
const policy = createAetherZonesPolicy();
const up = new Array<number>(60).fill(1);
const down = new Array<number>(60).fill(0);

describe("aether policy over zones", () => {
  it("never misses the deadline, and never beats the optimum", () => {
    fc.assert(
      fc.property(
        fc.array(market, { minLength: 1, maxLength: 3 }),
        fc.array(fc.constantFrom(0.5, 0.7, 1, 2.5), { minLength: 3, maxLength: 3 }),
        fc.integer({ min: 0, max: 5 }),
        (markets, prices, slackHours) => {
          const zones = markets.map((bits, i) => zone(["us-east-1a", "us-east-2b", "eu-west-1c"][i]!, bits, prices[i]!, 3 + i / 10));
          const job = jobFor(zones, { deadlineSeconds: 5 * HOUR + 1200 + slackHours * HOUR });
          const result = simulateZones(zones, 0, job, policy);
          expect(result.missedDeadline).toBe(false);
          expect(result.costUsd).toBeGreaterThanOrEqual(optimumUsd(zones, 0, job, 120) - 1e-6);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("goes to the cheaper zone where both are there, and on to the other when it is lost", () => {
    const zones = [zone("us-east-1a", [...up.slice(0, 12), ...down], 0.5), zone("us-east-1b", up, 0.8)];
    const result = simulateZones(zones, 0, jobFor(zones), policy);
    expect(result).toMatchObject({ losses: 1, onDemandSeconds: 0, moves: 1 });
    expect(result.egressUsd).toBe(0);
  });

  it("pays for bringing the checkpoint to another region", () => {
    const zones = [zone("us-east-1a", [...up.slice(0, 12), ...down], 0.5), zone("eu-west-1b", up, 0.8)];
    expect(simulateZones(zones, 0, jobFor(zones), policy).egressUsd).toBeCloseTo(1, 9);
  });
});

describe("simulateZones", () => {
  it("does not let a policy run what it did not get, or peek at zones by launching and dropping", () => {
    const zones = [zone("us-east-1a", down), zone("us-east-1b", up)];
    const make = (
      choose: (tryLaunch: (zone: number) => boolean) => ReturnType<ReturnType<MultiPolicy["begin"]>["choose"]>,
    ): MultiPolicy => ({ name: "x", begin: () => ({ choose: (_, tryLaunch) => choose(tryLaunch) }) });
    expect(() =>
      simulateZones(
        zones,
        0,
        jobFor(zones),
        make(() => ({ kind: "spot", zone: 0 })),
      ),
    ).toThrow(/did not get/);
    expect(() =>
      simulateZones(
        zones,
        0,
        jobFor(zones),
        make((tryLaunch) => (tryLaunch(1) ? { kind: "idle" } : { kind: "idle" })),
      ),
    ).toThrow(/did not use/);
  });
});

describe("transferBetween", () => {
  it("is free within a region and costs time and money across", () => {
    expect(transferBetween("us-central1-a", "us-central1-b", 50)).toEqual({ usd: 0, seconds: 0 });
    expect(transferBetween("us-east-1a", "us-east-2b", 50).usd).toBeCloseTo(0.5, 9);
    const far = transferBetween("us-central1-a", "asia-south2-b", 50);
    expect(far.usd).toBeCloseTo(1, 9);
    expect(far.seconds).toBeCloseTo(409_600 / 3590 - 409_600 / 9720, 6);
  });
});
