import { NodeSampleSchema, TelemetryReportSchema, WorkloadSampleSchema } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { silentLogger } from "@aether/kit";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openScratchDatabase } from "../db/scratch-database.ts";
import { readSamples } from "./store.ts";
import { createTelemetry } from "./telemetry.ts";

let open: Awaited<ReturnType<typeof openScratchDatabase>>;
beforeAll(async () => {
  open = await openScratchDatabase();
}, 60_000);
afterAll(() => open.close());

const minute = 60_000;

it("believes a node for itself and for what is placed on it, and drops numbers that cannot be", async () => {
  const { db } = open;
  await db
    .insertInto("workloads")
    .values({ name: "db", id: "wl-1", spec: "{}", address: "10.0.0.1", desired: "running", state: "running" })
    .execute();
  await db
    .insertInto("nodes")
    .values(["a", "b"].map((id) => ({ id, facts: "{}" })))
    .execute();
  await db.insertInto("placements").values({ workload: "db", epoch: 1, node_id: "a", cause: "run" }).execute();
  const telemetry = createTelemetry({ db, log: silentLogger, nowMs: () => 100 * minute, keep: () => ({ fineMinutes: 60, days: 7 }) });
  const report = (cpuFraction: number) =>
    create(TelemetryReportSchema, {
      node: { spanMs: 5000, cpuFraction, ioPressure: Number.NaN },
      workloads: { db: { spanMs: 5000, cpuFraction, nodeId: "forged", dirtySource: "guess" }, other: { spanMs: 5000 } },
    });
  telemetry.take("a", report(0.5));
  telemetry.take("b", report(-1));
  await telemetry.flush();
  expect(await readSamples(db, WorkloadSampleSchema, "workload/db", 0)).toMatchObject([
    { cpuFraction: 0.5, nodeId: "a", dirtySource: "unknown" },
  ]);
  expect(await readSamples(db, WorkloadSampleSchema, "workload/other", 0)).toEqual([]);
  const [own] = await readSamples(db, NodeSampleSchema, "node/b", 0);
  expect([own?.cpuFraction, own?.ioPressure]).toEqual([undefined, undefined]);
});

it("appends within a minute, averages what is an hour old, and cuts what is a week old", async () => {
  const { db } = open;
  let now = 1000 * minute;
  const telemetry = createTelemetry({ db, log: silentLogger, nowMs: () => now, keep: () => ({ fineMinutes: 60, days: 7 }) });
  for (const cpuFraction of [0.2, 0.4]) {
    telemetry.take("c", create(TelemetryReportSchema, { node: { spanMs: 5000, cpuFraction } }));
    await telemetry.flush();
    now += 5000;
  }
  const read = () => readSamples(db, NodeSampleSchema, "node/c", 0);
  expect((await read()).map(({ cpuFraction }) => cpuFraction)).toEqual([0.2, 0.4]);
  await telemetry.cut();
  expect(await read()).toHaveLength(2);
  now += 62 * minute;
  await telemetry.cut();
  expect(await read()).toMatchObject([{ spanMs: 10_000, cpuFraction: expect.closeTo(0.3) }]);
  await telemetry.cut();
  expect(await read()).toHaveLength(1);
  now += 8 * 24 * 60 * minute;
  await telemetry.cut();
  expect(await read()).toEqual([]);
});
