// The pair of a certificate is measured, and its certificate says so from then on; a pair that cannot be measured is left alone for a while.
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { until } from "@aether/kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type MovingCloud, startMovingCloud } from "../testing/moving-cloud.ts";

let cloud: MovingCloud;
const asked: string[] = [];
beforeAll(async () => {
  cloud = await startMovingCloud({
    config: { certificates: { everyMs: 200, probeEveryMs: 200 } },
    answer: (command) => {
      if (command.action.case !== "probeLink") return undefined;
      asked.push(command.action.value.peer?.nodeId ?? "");
      return {
        outcome: CommandOutcome.OK,
        facts: { case: "link", value: { bytesPerSecond: 42_000_000, roundTripMs: 0.4, bytes: 5_000_000n } },
      };
    },
  });
  const spec = { name: "demo", rootfs: "host", argv: ["/bin/true"] };
  expect((await cloud.core.call("POST", "/api/v2/workloads", { spec, nodeId: "n1" })).status).toBe(200);
}, 60_000);
afterAll(() => cloud.stop());

it("measures the way that a move would take, once, and the certificate is made of it", async () => {
  const bandwidth = await until("a measured bandwidth", 100, 20_000, async () => {
    const { certificate } = (await cloud.core.call("GET", "/api/v2/certificates/demo")).body;
    const found = certificate?.inputs.find(({ name }: { name: string }) => name === "bandwidth");
    return found?.basis === "measured" ? found : undefined;
  });
  expect(bandwidth).toMatchObject({ value: "40 MiB/s", detail: expect.stringContaining("a short transfer") });
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(asked).toEqual(["n2"]);
}, 40_000);
