import { expect, it } from "vitest";
import type { Run, Sample } from "./cells.ts";
import { report } from "./report.ts";
import { summarize } from "./summary.ts";
import { targetsOf } from "./targets.ts";

const run: Run = {
  run: "2026-01-02T03:04:05",
  head: "abc1234",
  machine: "2 x a processor",
  load: 0.3,
  criu: "criu-4.2-patched",
  options: "--runs 3",
  notes: ["criu's own pre-dump could not be compared."],
};

function sample(over: Partial<Sample>): Sample {
  const nothing = {
    nth: "1",
    before_ms: "3.0",
    over_50_ms_before: "0",
    worst_after_ms: "2.0",
    over_50_ms_after: "0",
    cpu_s: "1.0",
    wrong: "0",
    error: "",
  };
  const cell = { run: run.run, at: "", memory_mb: "1024", dirty_mb_s: "0", link_mbit_s: "0", method: "aether-pre-copy" };
  const times = {
    freeze_ms: "80.0",
    gap_ms: "82.0",
    safe_ms: "2000.0",
    total_ms: "2500.0",
    sent_bytes: "1e9",
    link_bytes_s: "1.1e9",
    phases: "freeze.dump=20.0",
  };
  return { ...nothing, ...cell, ...times, ...over };
}

const cell = { memoryMb: 1024, dirtyMb: 0, linkMbit: 0 };
const quick = [
  sample({}),
  sample({ nth: "2", freeze_ms: "90.0", gap_ms: "91.0" }),
  sample({ nth: "3", freeze_ms: "85.0", gap_ms: "86.0" }),
];
const podman = sample({ method: "podman", freeze_ms: "6600.0", gap_ms: "6400.0", phases: "", link_bytes_s: "NaN" });
const missedOf = (samples: readonly Sample[]) => targetsOf([cell], samples).flatMap(({ isMet, text }) => (isMet ? [] : [text]));

it("every target is met by quick moves, and podman's gap is held against theirs", () => {
  expect(missedOf([...quick, podman])).toEqual([]);
  expect(targetsOf([cell], [...quick, podman]).map(({ text }) => text)).toContain(
    "1024 MB, 0 MB/s: gap ten times shorter than podman's: 74.4 times",
  );
});

it("a long wait while memory is copied is missed as such, and leaves gap and stalls after the resume alone", () => {
  expect(missedOf([...quick, sample({ before_ms: "240.0", over_50_ms_before: "2" })])).toEqual([
    "1024 MB, 0 MB/s: no answer over 50 ms before the cut, while memory is copied: longest 3 / 240 / 240, 2 in 1 of 4 moves",
  ]);
});

it("one slow freeze, one long gap and one stall are missed, each by its own target", () => {
  expect(missedOf([...quick, sample({ freeze_ms: "210.0", gap_ms: "300.0", over_50_ms_after: "1" })])).toEqual([
    "1024 MB, 0 MB/s: freeze at most 100 ms p50 and 200 p99: 85 and 210",
    "1024 MB, 0 MB/s: client gap at most 20 ms over its freeze: 1 / 90",
    "1024 MB, 0 MB/s: no answer over 50 ms in the 5 s after the resume: 1 in 1 of 4 moves",
  ]);
});

it("podman's pause stands for its gap where its client was reset, and that is said", () => {
  const reset = { ...podman, gap_ms: "NaN", error: "read ECONNRESET" };
  expect(targetsOf([cell], [...quick, reset]).map(({ text }) => text)).toContainEqual(expect.stringContaining("held against its pause"));
  expect(summarize([...quick, reset], [run])).toContain("failed (1)");
});

it("the page names run, commit, machine and load, and what a run could not measure", () => {
  const page = report([...quick, podman], [run, { ...run, run: "another", head: "fff" }]);
  expect(page).toContain(
    "- Run of 2026-01-02 03:04:05 UTC at abc1234: 4 moves; 2 x a processor; load 0.3 before it; criu-4.2-patched; `--runs 3`",
  );
  expect(page).not.toContain("fff");
  expect(page).toContain("- criu's own pre-dump could not be compared.");
});

it("a failed move is counted, and is in no percentile", () => {
  const summary = summarize([...quick, sample({ freeze_ms: "NaN", gap_ms: "NaN", error: "it broke" })], [run]);
  expect(summary).toContain("85 / 90, gap 86 / 91, before 3 / 3 (3), 1 failed");
  expect(summary).toContain("ended with an error: 1 of 4");
});
