import { NodeSampleSchema, TelemetryReportSchema } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { silentLogger } from "@aether/kit";
import { create, toJson } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openScratchDatabase } from "../db/scratch-database.ts";
import { average } from "./average.ts";
import { encodeSamples, readNodeSamples, readWorkloadSamples } from "./store.ts";
import { createTelemetry } from "./telemetry.ts";

const events = { append: async () => {} };
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
  const telemetry = createTelemetry({
    db,
    events,
    log: silentLogger,
    nowMs: () => 100 * minute,
    keep: () => ({ fineMinutes: 60, days: 7 }),
  });
  const report = (cpuFraction: number) =>
    create(TelemetryReportSchema, {
      node: { spanMs: 5000, cpuFraction, ioPressure: Number.NaN },
      workloads: { db: { spanMs: 5000, cpuFraction, nodeId: "forged", dirtySource: "guess" }, other: { spanMs: 5000 } },
    });
  telemetry.take("a", [report(0.5)]);
  telemetry.take("b", [report(-1)]);
  await telemetry.flush();
  expect(await readWorkloadSamples(db, "db", 0)).toMatchObject([{ cpuFraction: 0.5, nodeId: "a", dirtySource: "unknown" }]);
  expect(await readWorkloadSamples(db, "other", 0)).toEqual([]);
  const [own] = await readNodeSamples(db, "b", 0);
  expect([own?.cpuFraction, own?.ioPressure]).toEqual([undefined, undefined]);
  // What no machine has would overflow the sums of whoever reads, and of the averaging of everybody's.
  const most = { spanMs: 2 ** 32 - 1, memoryUsedBytes: 2n ** 64n - 1n, receivedBytesPerSecond: 1e300 };
  telemetry.take("b", [create(TelemetryReportSchema, { node: most }), create(TelemetryReportSchema, { node: most })]);
  await telemetry.flush();
  const read = (await readNodeSamples(db, "b", 0)).slice(1);
  const hour = [3_600_000, undefined, undefined];
  expect(read.map((each) => [each.spanMs, each.memoryUsedBytes, each.receivedBytesPerSecond])).toEqual([hour, hour]);
  const mean = average(NodeSampleSchema, Array<(typeof read)[number]>(2_000).fill(read[0]!));
  expect(toJson(NodeSampleSchema, mean)).toMatchObject({ spanMs: 2 ** 32 - 1 });
});

it("lets go of a row that cannot be read, and averages all others", async () => {
  const { db } = open;
  const telemetry = createTelemetry({
    db,
    events,
    log: silentLogger,
    nowMs: () => 500 * minute,
    keep: () => ({ fineMinutes: 60, days: 7 }),
  });
  const samples = encodeSamples({
    nodes: [create(NodeSampleSchema, { at: timestampFromMs(400 * minute), spanMs: 1000, cpuFraction: 0.5 })],
  });
  const rows = [
    { subject: "node/broken", from_at: new Date(400 * minute), samples: Uint8Array.of(255, 255) },
    { subject: "node/fine", from_at: new Date(400 * minute), samples },
  ];
  await db.insertInto("telemetry_samples").values(rows).execute();
  await telemetry.cut();
  expect(await readNodeSamples(db, "fine", 0)).toMatchObject([{ cpuFraction: 0.5 }]);
  expect(await readNodeSamples(db, "broken", 0)).toEqual([]);
});

it("appends within a minute, averages what is an hour old, and cuts what is a week old", async () => {
  const { db } = open;
  let now = 1000 * minute;
  const telemetry = createTelemetry({ db, events, log: silentLogger, nowMs: () => now, keep: () => ({ fineMinutes: 60, days: 7 }) });
  for (const cpuFraction of [0.2, 0.4]) {
    telemetry.take("c", [create(TelemetryReportSchema, { node: { spanMs: 5000, cpuFraction } })]);
    await telemetry.flush();
    now += 5000;
  }
  const read = () => readNodeSamples(db, "c", 0);
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

it("gives each report of one message its own time, whatever the node's clock says, and drops names that no workload can have", async () => {
  const { db } = open;
  const telemetry = createTelemetry({
    db,
    events,
    log: silentLogger,
    nowMs: () => 9000 * minute,
    keep: () => ({ fineMinutes: 60, days: 7 }),
  });
  const report = (ageMs: number, cpuFraction: number) =>
    create(TelemetryReportSchema, { node: { spanMs: 1000, cpuFraction }, workloads: { "a,b'": { spanMs: 1000 } }, ageMs });
  telemetry.take("d", [report(4_000, 0.1), report(3_000, 0.2)]);
  telemetry.take("d", [report(500_000, 0.3)]);
  await telemetry.flush();
  const read = (await readNodeSamples(db, "d", 0)).map(({ at, cpuFraction }) => [at && 9000 * minute - timestampMs(at), cpuFraction]);
  // Nobody is believed to have waited for longer than some minutes.
  expect(read).toEqual([
    [4_000, 0.1],
    [3_000, 0.2],
    [150_000, 0.3],
  ]);
  expect(telemetry.counts()).toEqual({ written: 3, lost: 0 });
});

it("counts what finds no room, and says that nodes measure less often", async () => {
  const told: unknown[] = [];
  const paces: number[] = [];
  const telemetry = createTelemetry({
    db: open.db,
    events: { append: async (_db, ...some) => void told.push(...some.map(({ type, data }) => [type, data])) },
    log: silentLogger,
    nowMs: () => 9001 * minute,
    keep: () => ({ fineMinutes: 60, days: 7 }),
    limitBytes: 100,
    onPace: (everyMs) => paces.push(everyMs),
  });
  for (let i = 0; i < 10; i++) telemetry.take(`f${i}`, [create(TelemetryReportSchema, { node: { spanMs: 1000, cpuFraction: 0.5 } })]);
  await telemetry.flush();
  const { written, lost } = telemetry.counts();
  expect([written > 0, lost > 0, written + lost]).toEqual([true, true, 10]);
  expect(paces).toEqual([2_000]);
  expect(told).toEqual([["telemetry.slower", { everyMs: 2_000, lost }]]);
});
