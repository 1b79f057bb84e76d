import { silentLogger, until } from "@aether/kit";
import { afterEach, describe, expect, it } from "vitest";
import { createObservations } from "./observations.ts";
import { createReporter, type Reporter } from "./report.ts";

let reporter: Reporter | undefined;
afterEach(() => reporter?.stop());

const reports = (count: number) => {
  const seen = createObservations(0);
  return Array.from({ length: count }, (_, i) => {
    seen.sent(i * 1000 + 1);
    seen.answered(i * 1000 + 2, true);
    return seen.take((i + 1) * 1000);
  });
};

describe("reporter", () => {
  it("keeps the order and loses no count while core is away, even when it must join reports", async () => {
    const taken: { requestCount: string; since: string }[] = [];
    let isAway = true;
    const fetchOrFail: typeof fetch = async (_url, init) => {
      if (isAway) throw new Error("connect ECONNREFUSED");
      taken.push(JSON.parse(String(init?.body)));
      return new Response("{}");
    };
    reporter = createReporter({
      url: "http://core",
      token: "t",
      name: "demo",
      workload: "demo",
      log: silentLogger,
      maxWaiting: 5,
      fetch: fetchOrFail,
    });
    for (const report of reports(40)) reporter.add(report);
    expect(reporter.waitingCount).toBe(5);
    isAway = false;
    await until("an empty queue", 10, 5000, async () => (reporter?.waitingCount === 0 ? true : undefined));
    expect(taken.reduce((sum, report) => sum + Number(report.requestCount), 0)).toBe(40);
    expect(taken.map((report) => report.since)).toEqual(taken.map((report) => report.since).toSorted());
  });
});
