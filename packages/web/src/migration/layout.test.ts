import { HostClockSchema } from "@aether/contract/gen/aether/v2/clock_pb";
import { EventSchema } from "@aether/contract/gen/aether/v2/common_pb";
import { MigrationSchema, MigrationState, ReceiptSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { at, layoutOf, pack, type Span, ticksOf } from "./layout.ts";
import { stepLogOf } from "./step-log.ts";

const startMs = 1_700_000_000_000;
const stamp = (ms: number) => timestampFromMs(startMs + ms);
const phase = (name: string, nodeId: string, fromMs: number, durationMs: number, outcome = "ok") => ({
  name,
  nodeId,
  startedAt: stamp(fromMs),
  durationMs,
  outcome,
});
const event = (type: string, ms: number) => create(EventSchema, { type: `migration.${type}`, at: stamp(ms), sequence: BigInt(ms + 1) });

const move = create(MigrationSchema, {
  sourceNodeId: "n1",
  targetNodeId: "n2",
  state: MigrationState.DONE,
  createdAt: stamp(0),
  endedAt: stamp(1000),
  phases: [
    phase("prepare.target", "n2", 100, 100),
    phase("freeze.network_cut", "n1", 300, 5),
    phase("freeze.dump", "n1", 305, 200),
    phase("restore.images", "n2", 310, 200),
    phase("restore.files", "n2", 320, 20),
    phase("resume.network", "n2", 700, 10),
  ],
});
const events = [
  event("planned", 0),
  event("step.done", 150),
  event("copying", 200),
  event("freezing", 300),
  event("committed", 650),
  event("done", 1000),
];

describe("the timeline of a move", () => {
  it("has a lane for the control plane, for each host and for each client, and never two spans at once in a row", () => {
    const gaps = [{ client: "c", fromMs: startMs + 295, toMs: startMs + 720 }];
    const layout = layoutOf(move, events, gaps, startMs + 5000);
    expect(layout.lanes.map(({ kind, title }) => [kind, title])).toEqual([
      ["control", "control plane"],
      ["source", "n1"],
      ["target", "n2"],
      ["client", "client c"],
    ]);
    expect(layout.lanes[2]?.rows.map((row) => row.map(({ name }) => name))).toEqual([
      ["prepare.target", "restore.images", "resume.network"],
      ["restore.files"],
    ]);
    expect(layout.lanes[0]?.rows.flat().map(({ name }) => name)).toEqual(["planned", "copying", "freezing", "committed"]);
    expect([layout.fromMs - startMs, layout.toMs - startMs]).toEqual([0, 1000]);
    expect(layout.committedMs).toBe(startMs + 650);
  });

  it("freezes from the cut to the resume, by the receipt's measure where there is one", () => {
    const { freeze } = layoutOf(move, events, [], startMs);
    expect(freeze).toEqual({ fromMs: startMs + 300, toMs: startMs + 710, isOpen: false });
    const measured = create(MigrationSchema, { ...move, receipt: create(ReceiptSchema, { freezeMs: 380 }) });
    expect(layoutOf(measured, events, [], startMs).freeze?.toMs).toBe(startMs + 680);
  });

  it("grows with the clock while the move is under way, and its last state is open", () => {
    const { endedAt: _, ...rest } = move;
    const open = create(MigrationSchema, { ...rest, state: MigrationState.FREEZING, phases: move.phases.slice(0, 2) });
    const layout = layoutOf(open, events.slice(0, 4), [], startMs + 900);
    expect(layout.toMs).toBe(startMs + 900);
    expect(layout.lanes[0]?.rows.flat().at(-1)).toMatchObject({ name: "freezing", isOpen: true, toMs: startMs + 900 });
    expect(layout.freeze).toMatchObject({ isOpen: true, toMs: startMs + 900 });
  });

  it("says what is under way at a moment", () => {
    expect(at(layoutOf(move, events, [], startMs), startMs + 315)).toEqual([
      "control plane: freezing",
      "n1: freeze.dump",
      "n2: restore.images",
    ]);
  });

  it("puts both hosts on the control plane's clock, and says how sure that is", () => {
    // n2's clock is 5,000 ms ahead.
    const phases = move.phases.map((each) =>
      each.nodeId === "n2" ? { ...each, startedAt: timestampFromMs(timestampMs(each.startedAt ?? stamp(0)) + 5000) } : each,
    );
    const clocks = [
      create(HostClockSchema, { nodeId: "n1", offsetMs: 0, uncertaintyMs: 2 }),
      create(HostClockSchema, { nodeId: "n2", offsetMs: -5000, uncertaintyMs: 7 }),
    ];
    expect(layoutOf({ ...move, phases, clocks }, events, [], startMs)).toEqual({
      ...layoutOf(move, events, [], startMs),
      uncertaintyMs: 7,
    });
    expect(layoutOf({ ...move, phases, clocks: clocks.slice(0, 1) }, events, [], startMs).uncertaintyMs).toBeUndefined();
  });

  it("has a log: each step with how it ended, and the phases that its host measured inside", () => {
    const step = (name: string, nodeId: string, endMs: number, tookMs: number, isFailed = false) =>
      create(EventSchema, {
        type: isFailed ? "migration.step.failed" : "migration.step.done",
        at: stamp(endMs),
        message: `db: ${name} on ${nodeId} failed: the disk is full`,
        dataJson: JSON.stringify({ step: name, nodeId, tookMs }),
      });
    const { steps, others } = stepLogOf(move, [
      step("freeze", "n1", 520, 225),
      step("prepare", "n2", 210, 120),
      step("resume", "n2", 720, 30, true),
      create(EventSchema, { type: "migration.step.done", at: stamp(9), dataJson: "not json" }),
    ]);
    expect(steps.map(({ name, phases, error }) => [name, phases.map((each) => each.name), error])).toEqual([
      ["prepare", ["prepare.target"], ""],
      ["freeze", ["freeze.network_cut", "freeze.dump"], ""],
      ["resume", ["resume.network"], "db: resume on n2 failed: the disk is full"],
    ]);
    expect(others.map(({ name }) => name)).toEqual(["restore.images", "restore.files"]);
  });

  it("leaves out a client's pause that is of another time", () => {
    const gaps = [{ client: "c", fromMs: startMs - 9000, toMs: startMs - 8000 }];
    expect(layoutOf(move, events, gaps, startMs).lanes).toHaveLength(3);
  });
});

it("rows are as few as there are spans at once", () => {
  const span = (fromMs: number, toMs: number): Span => ({
    key: `${fromMs}`,
    name: "",
    fromMs,
    toMs,
    isFailed: false,
    isOpen: false,
    facts: {},
  });
  const rows = pack([span(20, 30), span(0, 10), span(5, 25), span(10, 20)]);
  expect(rows.map((row) => row.map(({ fromMs }) => fromMs))).toEqual([[0, 10, 20], [5]]);
});

it("marks are round, and not more than asked", () => {
  expect(ticksOf(1000, 5)).toEqual([0, 200, 400, 600, 800, 1000]);
  expect(ticksOf(730, 4)).toEqual([0, 200, 400, 600]);
  expect(ticksOf(0, 4)).toEqual([0]);
});
