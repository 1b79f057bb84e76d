import { DrillSchema, DrillState } from "@aether/contract/gen/aether/v2/drill_pb";
import { NodeSchema, NodeState } from "@aether/contract/gen/aether/v2/node_pb";
import { WorkloadSchema, WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { firstSteps } from "../first-run/steps.ts";
import { nounsOf } from "../live/invalidate.ts";
import { browserName } from "../settings/browser-name.ts";
import { filterNodes } from "./filter.ts";

const node = (id: string, state: NodeState, instanceType: string, workloads: string[] = []) =>
  create(NodeSchema, { id, state, workloads, facts: { cloud: { instanceType, zone: "a" } } });
const nodes = [node("n10", NodeState.READY, "m5", ["db"]), node("n2", NodeState.LOST, "m5"), node("n1", NodeState.READY, "r6")];
const ids = (search: Parameters<typeof filterNodes>[1]) => filterNodes(nodes, search).map(({ id }) => id);

describe("nodes", () => {
  it("are sorted as people count, both ways", () => {
    expect([ids({}), ids({ sort: "-name" }), ids({ sort: "workloads" }), ids({ sort: "nonsense" })]).toEqual([
      ["n1", "n2", "n10"],
      ["n10", "n2", "n1"],
      ["n10", "n1", "n2"],
      ["n1", "n2", "n10"],
    ]);
  });
  it("are found by name, state, pool and workload", () => {
    expect([ids({ q: "DB " }), ids({ state: "lost" }), ids({ pool: "r6/a" }), ids({ q: "n1", state: "ready" })]).toEqual([
      ["n10"],
      ["n2"],
      ["n1"],
      ["n1", "n10"],
    ]);
  });
});

it("the first steps are done by what happened, and by nothing else", () => {
  const done = (facts: Parameters<typeof firstSteps>[0]) => firstSteps(facts).map(({ id, isDone }) => `${id} ${isDone}`);
  expect(done({ nodes: [], workloads: [], certificates: undefined, drills: [] })).toEqual([
    "node false",
    "telemetry false",
    "workload false",
    "drill false",
  ]);
  const failed = create(DrillSchema, { state: DrillState.FAILED });
  const started = create(WorkloadSchema, { state: WorkloadState.STARTING });
  expect(done({ nodes: [...nodes], workloads: [started], certificates: [], drills: [failed] })).toEqual([
    "node true",
    "telemetry false",
    "workload false",
    "certificate false",
    "drill false",
  ]);
});

it("an event makes old what it is about, and nothing for a subject that is unknown", () => {
  expect(nounsOf({ type: "migration.done", subject: "migration/mig-1" })).toContain("workload");
  expect(nounsOf({ type: "core.started", subject: "core" })).toEqual([]);
});

it("a browser is told by its name", () => {
  expect(browserName("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0")).toBe("Firefox 143 on Linux");
  expect(
    browserName("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15"),
  ).toBe("Safari 18 on macOS");
  expect(browserName("curl/8")).toBe("curl/8");
});
