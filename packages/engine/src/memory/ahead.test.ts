import { expect, it } from "vitest";
import type { CopyReport } from "../engine.ts";
import { overObjective } from "./ahead.ts";

const forecast: CopyReport["forecast"] = {
  freezeMs: 1300,
  totalMs: 1300,
  memoryBytes: 2 ** 28,
  freezeBytes: 1.4e8,
  dirtyBytesPerSecond: 1.9e8,
  linkBytesPerSecond: 1.19e8,
  basis: "measured over pass 3",
};
const report: CopyReport = {
  forecast,
  rounds: [],
  end: "no-gain",
  endDetail: "it writes 190 MiB a second, the link carries 113 MiB a second",
};

it("freezes no workload for longer than its objective because it writes as fast as the link carries, and says what else there is", () => {
  expect(overObjective(report, 500)).toMatchObject({
    code: "MODE_UNAVAILABLE",
    message: expect.stringContaining("the freeze would take about 1300 ms, and its objective is 500 ms"),
    hint: expect.stringContaining("--mode post-copy"),
  });
  expect(overObjective(report, 1500)).toBeUndefined();
  expect(overObjective(report, 0)).toBeUndefined();
  expect(overObjective({ ...report, end: "converged" }, 500)).toBeUndefined();
});
