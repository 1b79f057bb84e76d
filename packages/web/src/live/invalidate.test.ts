import { EventSchema } from "@aether/contract/gen/aether/v2/common_pb";
import { ChangesSchema } from "@aether/contract/gen/aether/v2/live_pb";
import { type Node, NodeSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { QueryClient } from "@tanstack/react-query";
import { describe, expect, it } from "vitest";
import { createInvalidator } from "./invalidate.ts";

const node = (init: MessageInitShape<typeof NodeSchema>): Node => create(NodeSchema, init);
const soon = () => new Promise((resolve) => setTimeout(resolve, 200));

function open(entries: Record<string, unknown>) {
  const client = new QueryClient();
  for (const [key, value] of Object.entries(entries)) client.setQueryData(JSON.parse(key), value);
  const asked: string[] = [];
  const invalidator = createInvalidator(client, async (id) => {
    asked.push(id);
    return node({ id, isCordoned: true });
  });
  const old = () =>
    client
      .getQueryCache()
      .getAll()
      .filter(({ state }) => state.isInvalidated)
      .map(({ queryKey }) => JSON.stringify(queryKey));
  return { client, invalidator, asked, old };
}

describe("what the stream makes old", () => {
  it("is what the event's noun touches, and a change without an event touches no long list", async () => {
    const { invalidator, old } = open({
      '["node"]': [],
      '["drill"]': [],
      '["migration","list",""]': [],
      '["migration","m1"]': {},
      '["audit"]': [],
    });
    invalidator.changed(create(ChangesSchema, { nouns: ["migration"] }));
    await soon();
    expect(old()).toEqual(['["migration","m1"]']);
    invalidator.note(create(EventSchema, { subject: "node/n1" }));
    await soon();
    expect(old()).toEqual(['["node"]', '["migration","m1"]']);
  });

  it("leaves windows of days alone that were read a moment ago", async () => {
    const { invalidator, old } = open({ '["telemetry","node","n1",900]': {}, '["telemetry","node","n1",604800]': {} });
    invalidator.changed(create(ChangesSchema, { nouns: ["telemetry"] }));
    await soon();
    expect(old()).toEqual(['["telemetry","node","n1",900]']);
  });

  it("puts heartbeats into what is shown, without asking", () => {
    const { client, invalidator } = open({
      '["node"]': [node({ id: "a" }), node({ id: "b", isConnected: true })],
      '["node","b"]': node({ id: "b" }),
    });
    invalidator.changed(create(ChangesSchema, { nodes: [{ id: "b", isConnected: false, usage: { cpuFraction: 0.5 } }] }));
    expect(client.getQueryData<Node[]>(["node"])?.[1]).toMatchObject({ isConnected: false, usage: { cpuFraction: 0.5 } });
    expect(client.getQueryData<Node>(["node", "b"])).toMatchObject({ usage: { cpuFraction: 0.5 } });
  });

  it("reads one node of a large fleet, not all of them", async () => {
    const { client, invalidator, asked, old } = open({ '["node"]': Array.from({ length: 600 }, (_, i) => node({ id: `n${i}` })) });
    invalidator.note(create(EventSchema, { subject: "node/n7" }));
    await soon();
    expect([asked, old()]).toEqual([["n7"], []]);
    expect(client.getQueryData<Node[]>(["node"])?.[7]).toMatchObject({ id: "n7", isCordoned: true });
    // What strikes all at once asks for none of them, and an assessment changes no node.
    for (let i = 0; i < 100; i++) invalidator.note(create(EventSchema, { subject: `node/n${i}` }));
    for (let i = 0; i < 100; i++) invalidator.note(create(EventSchema, { type: "risk.elevated", subject: `node/n${i}` }));
    await soon();
    expect(asked).toEqual(["n7"]);
    client.clear();
  });
});
