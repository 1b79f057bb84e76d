import { EvacuationPolicySchema, OnNodeLost, WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { create, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { withUpdate } from "./update.ts";

const spec = create(WorkloadSpecSchema, {
  name: "db",
  argv: ["redis-server"],
  labels: { tier: "db" },
  rpoSeconds: 60,
  evacuation: { priority: 5, maxFreezeMs: 100, onNodeLost: OnNodeLost.RESTORE },
});
const json = (value: typeof spec) => toJson(WorkloadSpecSchema, value);

describe("an update", () => {
  it("changes what its mask names, takes away what it names and does not have, and leaves the rest", () => {
    const asked = create(WorkloadSpecSchema, { name: "other", argv: ["rm"], labels: { team: "a" }, evacuation: { priority: 9 } });
    expect(json(withUpdate(spec, asked, ["labels", "evacuation.priority", "evacuation.max_freeze_ms"]))).toEqual({
      ...(json(spec) as object),
      labels: { team: "a" },
      evacuation: { priority: 9, onNodeLost: "ON_NODE_LOST_RESTORE" },
    });
    expect(withUpdate(spec, undefined, ["labels", "rpo_seconds", "evacuation"])).toMatchObject({
      labels: {},
      rpoSeconds: 0,
      evacuation: create(EvacuationPolicySchema),
    });
    expect(json(spec)).toMatchObject({ labels: { tier: "db" }, rpoSeconds: 60 });
  });

  it.each([
    [{}, [], "update_mask"],
    [{ argv: ["rm"] }, ["argv"], "update_mask"],
    [{}, ["evacuation.nothing"], "update_mask"],
    [{ rpoSeconds: 1 }, ["rpo_seconds"], "spec.rpo_seconds"],
    [{ labels: { "a b": "c" } }, ["labels"], "spec.labels"],
    [{ evacuation: { priority: 101 } }, ["evacuation"], "spec.evacuation.priority"],
    [{ evacuation: { onNodeLost: 77 as OnNodeLost } }, ["evacuation.on_node_lost"], "spec.evacuation.on_node_lost"],
  ])("of %j by %j is refused with the field", (asked, mask, field) => {
    const refused = () => withUpdate(spec, create(WorkloadSpecSchema, asked), mask);
    expect(refused).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", field }));
  });
});
