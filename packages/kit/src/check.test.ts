import { afterEach, expect, it, vi } from "vitest";
import { type Check, type CheckResult, runChecks } from "./check.ts";

afterEach(() => {
  vi.useRealTimers();
});
const check = (name: string, run: Check["run"]): Check => ({ name, title: name, why: "because", run });
const { signal } = new AbortController();

it("reports every check in its order, whatever one of them does", async () => {
  const reports = await runChecks(
    [
      check("good", async () => ({ status: "ok", detail: "6.18" })),
      check("rejects", () => Promise.reject(new Error("no such file"))),
      check("throws", () => {
        throw new Error("at once");
      }),
      check("bad", async () => ({ status: "warn", detail: "small", mend: "make it larger" })),
    ],
    signal,
  );
  expect(reports.map(({ name, status, detail }) => [name, status, detail])).toEqual([
    ["good", "ok", "6.18"],
    ["rejects", "fail", "no such file"],
    ["throws", "fail", "at once"],
    ["bad", "warn", "small"],
  ]);
  expect(reports[3]).toMatchObject({ title: "bad", why: "because", mend: "make it larger" });
  expect(reports.every(({ durationMs }) => durationMs >= 0)).toBe(true);
});

it("goes on after a check that hangs and ignores its signal", async () => {
  vi.useFakeTimers();
  const hangs = () => new Promise<CheckResult>(() => undefined);
  const running = runChecks([check("hangs", hangs), check("next", async () => ({ status: "ok", detail: "" }))], signal);
  await vi.advanceTimersByTimeAsync(30_000);
  const [hung, next] = await running;
  expect(hung).toMatchObject({ status: "fail", detail: "hangs took longer than 30000 ms" });
  expect(next).toMatchObject({ status: "ok" });
});

it("is not a report of failures when it was cancelled", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const running = runChecks([check("waits", () => new Promise(() => undefined))], controller.signal);
  controller.abort(reason);
  await expect(running).rejects.toBe(reason);
});
