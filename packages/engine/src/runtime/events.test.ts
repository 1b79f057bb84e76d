import { spawn } from "node:child_process";
import { expect, it } from "vitest";
import { readEvents } from "./events.ts";

const helper = (script: string) => readEvents(spawn("sh", ["-c", script], { detached: true }), "helper");

it("a helper's lines are told in order, and its end to whoever still waits", async () => {
  const events = helper(`echo '{"event":"a","n":1}'; printf '{"event"'; echo ':"b"}'; exit 3`);
  expect(await events.next("a")).toEqual({ event: "a", n: 1 });
  expect(await events.next("b")).toEqual({ event: "b" });
  await expect(events.next("c")).rejects.toMatchObject({ code: "TOOL_FAILED", message: "the helper ended with code 3" });
});

it.each(["Segmentation fault", "[1]", "null"])("one that says %j is ended, and nothing else is", async (nonsense) => {
  const events = helper(`echo '${nonsense}'; sleep 60`);
  await expect(events.next("ready")).rejects.toMatchObject({ code: "TOOL_FAILED", message: expect.stringContaining("helper said") });
});
