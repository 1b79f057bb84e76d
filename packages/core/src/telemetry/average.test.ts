import { NodeSampleSchema, WorkloadSampleSchema } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import { average, thin } from "./average.ts";

const node = (atMs: number, spanMs: number, values: { cpuFraction?: number; memoryUsedBytes?: bigint }) =>
  create(NodeSampleSchema, { at: timestampFromMs(atMs), spanMs, ...values });

it("weighs by span and leaves absent what nobody measured", () => {
  const mean = average(NodeSampleSchema, [
    node(1000, 1000, { cpuFraction: 1, memoryUsedBytes: 10n }),
    node(4000, 3000, { cpuFraction: 0 }),
  ]);
  expect(mean).toMatchObject({ spanMs: 4000, cpuFraction: 0.25, memoryUsedBytes: 10n });
  expect(mean.at && timestampMs(mean.at)).toBe(4000);
  expect(mean.ioPressure).toBeUndefined();
});

it("keeps the newest text", () => {
  const one = (nodeId: string, dirtySource: string) => create(WorkloadSampleSchema, { spanMs: 1, nodeId, dirtySource });
  expect(average(WorkloadSampleSchema, [one("n1", "wp_async"), one("n2", "")])).toMatchObject({ nodeId: "n2", dirtySource: "wp_async" });
});

it("thins to about the number asked for and keeps gaps", () => {
  const samples = Array.from({ length: 60 }, (_, i) => node(i < 30 ? i * 1000 : 100_000 + i * 1000, 1000, { cpuFraction: i }));
  const thinned = thin(NodeSampleSchema, samples, { windowMs: 160_000, count: 16 });
  expect(thinned.length).toBeLessThanOrEqual(8);
  const times = thinned.map(({ at }) => (at ? timestampMs(at) : 0));
  expect(times.filter((ms) => ms > 30_000 && ms < 130_000)).toEqual([]);
  expect(thinned[0]).toMatchObject({ cpuFraction: 4.5, spanMs: 10_000 });
});
