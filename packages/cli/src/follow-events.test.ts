import { fault } from "@aether/contract";
import { EventSchema } from "@aether/contract/gen/aether/v2/common_pb";
import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { followEvents } from "./follow-events.ts";

const event = (sequence: number) => create(EventSchema, { sequence: BigInt(sequence), message: `event ${sequence}` });

/** A control plane's stream, connection by connection: events, then how it ends. */
function scripted(connections: { events: number[]; end?: unknown }[], newest = 0) {
  const asked: bigint[] = [];
  const abort = new AbortController();
  const seen: number[] = [];
  const said: string[] = [];
  const client = {
    listEvents: async () => ({ events: newest === 0 ? [] : [event(newest)] }),
    async *watchEvents({ after }: { after: bigint }) {
      asked.push(after);
      const next = connections.shift();
      if (next === undefined) {
        abort.abort();
        return;
      }
      for (const sequence of next.events) yield { event: event(sequence) };
      if (next.end !== undefined) throw next.end;
    },
  };
  const follow = (after: number) =>
    followEvents(client as never, { after: BigInt(after), subject: "" }, abort.signal, {
      event: ({ sequence }) => seen.push(Number(sequence)),
      say: (text) => said.push(text),
    });
  return { follow, asked, seen, said };
}

it("goes on after the last event that was seen, however the stream ended", async () => {
  const { follow, asked, seen, said } = scripted(
    [{ events: [11, 12], end: fault("UNAVAILABLE", "core does not answer") }, { events: [13] }],
    10,
  );
  await follow(0);
  expect(asked).toEqual([10n, 12n, 13n]);
  expect(seen).toEqual([11, 12, 13]);
  expect(said).toEqual(["core does not answer; trying again"]);
});

it("says where something is missing, and goes on from the newest", async () => {
  const { follow, asked, seen, said } = scripted(
    [{ events: [], end: fault("EVENTS_GONE", "events up to 90 are not kept") }, { events: [101] }],
    100,
  );
  await follow(5);
  expect(asked).toEqual([5n, 100n, 101n]);
  expect(seen).toEqual([101]);
  expect(said[0]).toContain("something is missing here: events up to 90");
});

it("ends with what waiting cannot mend", async () => {
  const { follow } = scripted([{ events: [], end: fault("PERMISSION_DENIED", "no") }]);
  await expect(follow(1)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
});
