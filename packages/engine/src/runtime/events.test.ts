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

it("why it ended, or failed, is told in its own words, and what nobody took is still there", async () => {
  const ended = helper(`echo '{"event":"seen","n":1}'; echo '{"event":"seen","n":2}'; echo '{"error":"no room","errno":28}' >&2; exit 1`);
  await expect(ended.next("ready")).rejects.toMatchObject({ message: "the helper ended: no room" });
  await ended.ended;
  expect(ended.take("seen").map(({ n }) => n)).toEqual([1, 2]);
  const failed = helper(`echo '{"event":"failed","reason":"a page is missing"}'; sleep 60 & wait`);
  await expect(failed.next("filled")).rejects.toMatchObject({ message: expect.stringContaining("a page is missing") });
  expect(failed.problem()).toContain("a page is missing");
});

it.each([
  ["a line that a listener cannot read", `echo '{"event":"round","number":"x"}'`],
  ["a line without an end", "head -c 100000 /dev/zero | tr '\\0' a"],
])("%s ends the helper, not this process", async (_, script) => {
  const events = helper(`${script}; sleep 60`);
  events.onLine(({ number }) => {
    if (typeof number !== "number") throw new Error("no number");
  });
  await expect(events.next("ready")).rejects.toMatchObject({ code: "TOOL_FAILED" });
  await events.ended;
});

it.each(["Segmentation fault", "[1]", "null"])("one that says %j is ended, and nothing else is", async (nonsense) => {
  const events = helper(`echo '${nonsense}'; sleep 60`);
  await expect(events.next("ready")).rejects.toMatchObject({ code: "TOOL_FAILED", message: expect.stringContaining("helper said") });
});
