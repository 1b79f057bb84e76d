// What a command's validity means when it is sent again: the rest of its time by this clock, and nothing once that is over.
import {
  type Command,
  CommandOutcome,
  CommandResultSchema,
  CommandSchema,
  SessionRequestSchema,
} from "@aether/contract/gen/aether/v2/agent_pb";
import { silentLogger } from "@aether/kit";
import { create, fromBinary } from "@bufbuild/protobuf";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import { createGateway } from "./gateway.ts";
import { createOutbox } from "./outbox.ts";

it("a command that its node never saw is sent again with the rest of its time, and not after it", async () => {
  let monotonic = 0;
  const gateway = createGateway({
    commands: { add: async () => true, result: async () => undefined, finish: async () => true, prune: async () => undefined },
    signals: {} as never,
    memory: {
      hello: async () => [],
      late: async () => undefined,
      settle: async () => undefined,
      heard: () => undefined,
      workloads: async () => undefined,
    },
    telemetry: { take: () => undefined },
    agentConfig: {} as never,
    sign: (_purpose, content) => ({ content }),
    clock: { nowMs: () => Date.now(), monotonicMs: () => monotonic } as never,
    log: silentLogger,
  });
  const up = createOutbox<ReturnType<typeof say>>(100);
  const say = (message: NonNullable<Parameters<typeof create<typeof SessionRequestSchema>>[1]>["message"]) =>
    create(SessionRequestSchema, { message: message ?? { case: undefined } });
  const heard: Command[] = [];
  const ended = new AbortController();
  const session = (async () => {
    for await (const { message } of gateway.serve("n1", up, ended.signal))
      if (message.case === "signedCommand") heard.push(fromBinary(CommandSchema, message.value.content));
  })();
  const settled = () => new Promise((resolve) => setTimeout(resolve, 5));
  up.push(say({ case: "hello", value: {} }));
  await settled();
  const answer = gateway.send("n1", { id: "cmd-1", validFor: durationFromMs(10_000), action: { case: "abort", value: {} } }, ended.signal);
  answer.catch(() => undefined);
  await settled();
  const never = create(CommandResultSchema, { commandId: "cmd-1", outcome: CommandOutcome.UNKNOWN });
  for (const at of [4_000, 9_999, 10_000, 60_000]) {
    monotonic = at;
    up.push(say({ case: "result", value: never }));
    await settled();
  }
  expect(heard.map(({ validFor }) => validFor && durationMs(validFor))).toEqual([10_000, 6_000, 1]);
  ended.abort();
  up.end();
  await session;
});
