import { CommandResultSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { MigrationPhaseSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { assembleReceipt } from "./receipt.ts";
import type { CommandFact, MigrationRecord, StepName } from "./state.ts";
import { compareManifests } from "./steps/verify.ts";

const record: MigrationRecord = {
  id: "mig-1",
  workload: "db",
  sourceNodeId: "n1",
  targetNodeId: "n2",
  state: "resumed",
  requestedMode: "auto",
  mode: "post_copy",
  epochBefore: 4,
  priority: 0,
  order: 0,
  cause: "operator",
  drillId: undefined,
  traceId: "",
  fence: 1,
  isCancelRequested: false,
  createdAtMs: 1_000,
  stateAtMs: 3_000,
  deadlineAtMs: undefined,
  committedAtMs: 2_500,
  resumedAtMs: 3_000,
  endedAtMs: undefined,
  error: undefined,
  debts: [],
};
const manifest = {
  images: [
    { name: "a.img", bytes: 1n, sha256: "aa" },
    { name: "b.img", bytes: 2n, sha256: "bb" },
  ],
  memoryBytes: 8192n,
  pageCount: 2n,
  filesDigest: "ff",
  fileCount: 3n,
  processCount: 2,
  processDigest: "pp",
  tcpConnections: ["10.77.1.1:6379 10.77.0.1:5000"],
};
type Facts = MessageInitShape<typeof CommandResultSchema>["facts"];
const command = (step: StepName, facts: Facts): CommandFact => ({
  id: step,
  step,
  intendedAtMs: 1,
  outcome: "ok",
  result: create(CommandResultSchema, { outcome: 1, ...(facts === undefined ? {} : { facts }) }),
});
const freeze = command("freeze", { case: "freeze", value: { manifest, resetsSent: 0, segmentsRetransmitted: 2 } });
const restore = command("restore", {
  case: "restore",
  value: { manifest: { ...manifest, images: [...manifest.images].reverse() }, areImagesEqual: true },
});
const resume = (network: object) =>
  command("resume", {
    case: "resume",
    value: {
      health: HealthState.PASSING,
      freezeMs: 61,
      network: { packetsHeld: 3, packetsReplayed: 3, segmentsRetransmitted: 1, ...network },
    },
  });

describe("the receipt", () => {
  it("is whole when every comparison holds and the resume is confirmed; the order of images says nothing", () => {
    const phases = [create(MigrationPhaseSchema, { name: "freeze.dump", nodeId: "n1", durationMs: 12.5 })];
    const receipt = assembleReceipt(record, [freeze, restore, resume({})], 9_999, phases);
    expect(receipt).toMatchObject({
      isWhole: true,
      phases: [{ name: "freeze.dump", durationMs: 12.5 }],
      epochBefore: 4n,
      epochAfter: 5n,
      freezeMs: 61,
      totalMs: 2_000,
      healthAfter: HealthState.PASSING,
    });
    expect(receipt?.network).toMatchObject({ segmentsRetransmitted: 3, resetsSent: 0 });
  });
  it("does not exist before the commit", () => {
    const { committedAtMs: _, ...before } = record;
    expect(assembleReceipt({ ...before, committedAtMs: undefined }, [freeze, restore], 0)).toBeUndefined();
  });
  it("is not whole while the resume is not confirmed, when a packet was not replayed, or when a reset was sent", () => {
    expect(assembleReceipt(record, [freeze, restore], 0)?.isWhole).toBe(false);
    expect(assembleReceipt(record, [freeze, restore, resume({ packetsReplayed: 2 })], 0)?.isWhole).toBe(false);
    expect(assembleReceipt(record, [freeze, restore, resume({ resetsSent: 1 })], 0)?.isWhole).toBe(false);
  });
});

describe("compareManifests", () => {
  const left = freeze.result?.facts.case === "freeze" ? freeze.result.facts.value : undefined;
  const compare = (over: object, areImagesEqual = true) => {
    const reached = command("restore", { case: "restore", value: { manifest: { ...manifest, ...over }, areImagesEqual } }).result?.facts;
    return compareManifests(left, reached?.case === "restore" ? reached.value : undefined)
      .filter((each) => !each.isEqual)
      .map((each) => each.what);
  };
  it.each([
    ["images", { images: [{ name: "a.img", bytes: 1n, sha256: "aa" }] }],
    ["memory bytes", { memoryBytes: 8191n }],
    ["memory pages", { pageCount: 3n }],
    ["files", { filesDigest: "fe" }],
    ["processes", { processDigest: "pq" }],
    ["tcp connections", { tcpConnections: [] }],
  ])("finds another %s", (what, over) => {
    expect(compare(over)).toEqual([what]);
  });
  it("believes what the receiver computed over the bytes", () => {
    expect(compare({}, false)).toEqual(["bytes as they arrived"]);
  });
  it("takes nothing that is missing for equal", () => {
    expect(compareManifests(left, undefined)).toMatchObject([{ what: "manifest", isEqual: false, source: "present", target: "missing" }]);
    expect(compareManifests(undefined, undefined)[0]?.isEqual).toBe(false);
  });
});
