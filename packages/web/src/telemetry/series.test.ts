import { OracleReportSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import { gapsIn, pointsOf } from "../oracle/points.ts";
import { barsOf } from "../risk/bars.ts";
import { linesOf } from "./series.ts";

const sample = (seconds: number, cpu?: number) => ({ at: timestampFromMs(seconds * 1000), spanMs: 1000, cpu });

it("a value that was not measured is a gap, and so is a pause of the node", () => {
  const { times, values } = linesOf([sample(1, 0), sample(2), sample(3, 0.5), sample(60, 1)], [(each) => each.cpu]);
  expect(values).toEqual([[0, null, 0.5, null, 1]]);
  expect(times).toHaveLength(5);
});

it("a slice without an answer is a gap in the client's line, not a fast answer", () => {
  const report = create(OracleReportSchema, {
    since: timestampFromMs(10_000),
    sliceMs: 100,
    worstLatencyMs: [1, 0, 2],
    gaps: [
      { at: timestampFromMs(10_100), durationMs: 80 },
      { at: timestampFromMs(1_000), durationMs: 80 },
    ],
  });
  expect(pointsOf(report)).toEqual({ times: [10, 10.1, 10.2], worst: [1, null, 2] });
  expect(gapsIn(report, 10_000, 20_000)).toEqual([{ fromMs: 10_100, toMs: 10_180 }]);
});

it("reasons add up from the starting probability to the probability", () => {
  const bars = barsOf(0.05, [
    { name: "a", words: "a", points: 0.2, source: "learnt" },
    { name: "b", words: "b", points: -0.1, source: "prior" },
  ]);
  expect(bars.map(({ from, to }) => [from, to].map((value) => Number(value.toFixed(3))))).toEqual([
    [0, 0.05],
    [0.05, 0.25],
    [0.25, 0.15],
    [0, 0.15],
  ]);
});
