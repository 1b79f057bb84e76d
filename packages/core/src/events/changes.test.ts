import type { Changes } from "@aether/contract/gen/aether/v2/live_pb";
import { NodeUsageSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { createChanges } from "./changes.ts";

const open = (fleet: boolean) => {
  const hub = createChanges({ isConnected: (id) => id !== "gone", nowMs: Date.now, gatherMs: 5, fleetMs: 20 });
  const ending = new AbortController();
  const told = hub.watch({ fleet }, ending.signal)[Symbol.asyncIterator]();
  const next = async (): Promise<Changes> => {
    const { value, done } = await told.next();
    if (done === true) throw new Error("it ended");
    return value;
  };
  return { hub, ending, told, next };
};

describe("changes", () => {
  it("are gathered: many in a moment are told once", async () => {
    const { hub, ending, told, next } = open(false);
    const first = next();
    hub.note("oracle");
    hub.note("oracle", "telemetry");
    hub.heard("n1", undefined);
    const { nouns, nodes } = await first;
    expect([nouns.toSorted(), nodes]).toEqual([["oracle", "telemetry"], []]);
    const end = told.next();
    ending.abort();
    expect(await end).toMatchObject({ done: true });
  });

  it("of the fleet come round in bounded messages, each node with the last that it said", async () => {
    const { hub, ending, next } = open(true);
    const first = next();
    for (let i = 0; i < 700; i++) hub.heard(i === 0 ? "gone" : `n${i}`, create(NodeUsageSchema, { cpuFraction: 0.1 }));
    hub.heard("n1", create(NodeUsageSchema, { cpuFraction: 0.9 }));
    const { nodes } = await first;
    expect(nodes).toHaveLength(500);
    expect(nodes[0]).toMatchObject({ id: "gone", isConnected: false });
    expect(nodes[1]).toMatchObject({ id: "n1", isConnected: true, usage: { cpuFraction: 0.9 } });
    expect((await next()).nodes).toHaveLength(200);
    ending.abort();
  });

  it("tell nothing, and cost nothing, where nobody watches", async () => {
    const { hub, ending, next } = open(false);
    const first = next();
    ending.abort();
    await expect(first).rejects.toThrow("it ended");
    hub.note("risk");
    hub.heard("n1", undefined);
  });
});
