import { OracleReportSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { ReceiptSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { createOracleRing, mergeReports } from "./oracle.ts";
import { isRipe } from "./run.ts";
import { type DrillFacts, judge } from "./verdict.ts";

const t = 1_000_000;
const report = (fromMs: number, over: MessageInitShape<typeof OracleReportSchema> = {}) =>
  create(OracleReportSchema, {
    name: "demo",
    workload: "db",
    since: timestampFromMs(t + fromMs),
    until: timestampFromMs(t + fromMs + 1_000),
    requestCount: 100n,
    sliceMs: 500,
    worstLatencyMs: [1, 2],
    ...over,
  });
const facts = (over: Partial<DrillFacts> = {}): DrillFacts => ({
  kind: "notice",
  nodeId: "n1",
  startedAtMs: t,
  deadlineAtMs: t + 120_000,
  observedAtMs: t + 800,
  decision: { action: "migrate", rule: "notice-evacuate", reason: "because", sinceObservedMs: 20 },
  workloads: ["db"],
  moves: [
    {
      workload: "db",
      targetNodeId: "n2",
      migrationId: "mig-1",
      state: "done",
      resumedAtMs: t + 3_000,
      endedAtMs: t + 3_500,
      error: "",
      receipt: create(ReceiptSchema, { isWhole: true, freezeMs: 60 }),
    },
  ],
  reports: [report(0), report(1_000, { longestGapMs: 70 }), report(2_000), report(3_000), report(4_000), report(5_000)],
  ...over,
});
const failed = (over: Partial<DrillFacts>) =>
  judge(facts(over))
    .checks.filter((check) => !check.isPassed)
    .map((check) => check.name);
const move = facts().moves[0]!;

describe("judge", () => {
  it("passes when all moved, whole, in time, and every client is content", () => {
    const verdict = judge(facts());
    expect(verdict.checks.filter((check) => !check.isPassed)).toEqual([]);
    expect(verdict).toMatchObject({ isPassed: true, noticeToSafeMs: 2_200 });
    expect(verdict.oracles).toMatchObject([{ requestCount: 600n, longestGapMs: 70 }]);
  });
  it.each([
    ["nothing was heard", { observedAtMs: undefined }, "signal heard"],
    ["nothing was decided", { decision: undefined }, "decision"],
    ["the decision was slow", { decision: { action: "migrate", rule: "r", reason: "", sinceObservedMs: 501 } }, "decision"],
    ["nothing ran there", { workloads: [], moves: [] }, "something to move"],
    ["one stayed", { workloads: ["db", "web"] }, "web moved"],
    ["a move was rolled back", { moves: [{ ...move, state: "rolled_back" as const }] }, "db moved"],
    [
      "the receipt is not whole",
      { moves: [{ ...move, receipt: create(ReceiptSchema, { comparisons: [{ what: "files" }] }) }] },
      "db receipt",
    ],
    ["there is no receipt", { moves: [{ ...move, receipt: undefined }] }, "db receipt"],
    ["it was too late", { deadlineAtMs: t + 2_000 }, "before the deadline"],
    ["nobody watched", { reports: [] }, "clients"],
    ["somebody else watched", { reports: facts().reports.map((each) => ({ ...each, workload: "other" })) }, "clients"],
    ["an answer was wrong", { reports: [...facts().reports, report(6_000, { wrongCount: 1n })] }, "client demo"],
    ["a request failed", { reports: [...facts().reports, report(6_000, { errorCount: 1n })] }, "client demo"],
    ["the client asked nothing", { reports: facts().reports.map((each) => ({ ...each, requestCount: 0n })) }, "client demo"],
    ["the client fell silent after the move", { reports: facts().reports.slice(0, 3) }, "client demo"],
    ["the client came only after the move", { reports: facts().reports.slice(3) }, "client demo"],
  ] as const)("fails when %s", (_, over, name) => {
    expect(failed(over as Partial<DrillFacts>)).toContain(name);
  });
});

describe("isRipe", () => {
  it("waits for the clients' word after the last move, but not for ever", () => {
    expect(isRipe(facts({ reports: facts().reports.slice(0, 5) }), t + 5_100)).toBe(false);
    expect(isRipe(facts(), t + 6_100)).toBe(true);
    expect(isRipe(facts({ reports: [] }), t + 12_900)).toBe(false);
    expect(isRipe(facts({ reports: [] }), t + 13_000)).toBe(true);
  });
  it("gives a rolled back move time for another try, and an unheard notice time to be heard", () => {
    const back = { moves: [{ ...move, state: "rolled_back" as const, resumedAtMs: undefined }] };
    expect(isRipe(facts(back), t + 9_000)).toBe(false);
    expect(isRipe(facts(back), t + 9_600)).toBe(true);
    expect(isRipe(facts({ observedAtMs: undefined, decision: undefined }), t + 19_000)).toBe(false);
    expect(isRipe(facts({ observedAtMs: undefined, decision: undefined }), t + 20_000)).toBe(true);
  });
  it("ends soon after the deadline whatever is under way", () => {
    expect(isRipe(facts({ moves: [{ ...move, state: "copying" }] }), t + 121_000)).toBe(false);
    expect(isRipe(facts({ moves: [{ ...move, state: "copying" }] }), t + 122_000)).toBe(true);
  });
});

describe("oracles", () => {
  it("counts a report that came twice once, and shows silence as silence", () => {
    const merged = mergeReports([report(0), report(0), report(2_000)]);
    expect(merged).toMatchObject({ requestCount: 200n, worstLatencyMs: [1, 2, -1, -1, 1, 2] });
  });
  it("keeps a bounded number of reports and of clients, the longest silent out first", () => {
    const ring = createOracleRing({ reportsEach: 3, oracles: 2 });
    for (let i = 0; i < 10; i++) ring.add(report(i * 1_000));
    expect(ring.list(0)[0]?.requestCount).toBe(300n);
    ring.add(report(0, { name: "b" }));
    ring.add(report(11_000));
    ring.add(report(0, { name: "c" }));
    expect(ring.list(0).map((each) => each.name)).toEqual(["c", "demo"]);
    expect(ring.list(t + 1_000_000)).toEqual([]);
  });
});
