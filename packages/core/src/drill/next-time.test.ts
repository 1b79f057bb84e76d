import { describe, expect, it } from "vitest";
import { nextTime, parseTiming, type Timing } from "./next-time.ts";

const at = (text: string) => Date.parse(text);
const timing = (over: Partial<Timing>): Timing => ({
  cron: null,
  everySeconds: null,
  timeZone: "UTC",
  createdAtMs: at("2026-03-01T00:00:00Z"),
  ...over,
});
const next = (over: Partial<Timing>, after: string) => new Date(nextTime(timing(over), at(after)) ?? 0).toISOString();

describe("nextTime", () => {
  it("keeps the hour of the wall clock over a change of the clocks", () => {
    const berlin = { cron: "0 3 * * *", timeZone: "Europe/Berlin" };
    expect(next(berlin, "2026-03-27T12:00:00Z")).toBe("2026-03-28T02:00:00.000Z");
    expect(next(berlin, "2026-03-29T12:00:00Z")).toBe("2026-03-30T01:00:00.000Z");
  });

  it("does not begin twice in the hour that comes twice", () => {
    const twice = { cron: "30 2 25 10 *", timeZone: "Europe/Berlin" };
    const first = next(twice, "2026-10-24T12:00:00Z");
    expect(next(twice, first).slice(0, 4)).toBe("2027");
  });

  it("counts an interval from the creation, and never answers a time that has passed", () => {
    expect(next({ everySeconds: 3600 }, "2026-03-01T00:00:00Z")).toBe("2026-03-01T01:00:00.000Z");
    expect(next({ everySeconds: 3600 }, "2026-03-01T01:00:00Z")).toBe("2026-03-01T02:00:00.000Z");
    expect(next({ everySeconds: 3600 }, "2026-03-04T05:59:59Z")).toBe("2026-03-04T06:00:00.000Z");
  });
});

describe("parseTiming", () => {
  const field = (request: Partial<{ cron: string; everySeconds: number; timeZone: string }>) => {
    try {
      parseTiming({ cron: "", everySeconds: 0, timeZone: "", ...request }, at("2026-03-01T00:00:00Z"));
      return undefined;
    } catch (caught) {
      return (caught as { field: string }).field;
    }
  };
  it("names what is wrong", () => {
    expect(field({})).toBe("cron");
    expect(field({ cron: "0 3 * * *", everySeconds: 600 })).toBe("every_seconds");
    expect(field({ everySeconds: 10 })).toBe("every_seconds");
    expect(field({ cron: "0 3 * * *", timeZone: "Mars/Olympus" })).toBe("time_zone");
    expect(field({ cron: "0 0 3 * * *" })).toBe("cron");
    expect(field({ cron: "61 * * * *" })).toBe("cron");
    expect(field({ cron: "0 0 30 2 *" })).toBe("cron");
    expect(field({ cron: "0 3 * * mon", timeZone: "Europe/Berlin" })).toBeUndefined();
  });
});
