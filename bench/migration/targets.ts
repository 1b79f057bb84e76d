// Each target of the product, cell by cell: what was reached, and what was not. They are those of an unlimited link and at most 50 MB/s written.
import { type Cell, isOf, nameOf, type Sample } from "./cells.ts";
import { column, good, pair, percentile, stalledMoves, told, triple, whole } from "./statistics.ts";

export interface Target {
  readonly cell: Cell;
  readonly isMet: boolean;
  readonly text: string;
}

export function targetsOf(cells: readonly Cell[], samples: readonly Sample[]): Target[] {
  return cells
    .filter(({ linkMbit, dirtyMb }) => linkMbit === 0 && dirtyMb <= 50)
    .flatMap((cell) => {
      const of = good(samples.filter(isOf(cell, "aether-pre-copy")));
      const podman = samples.filter(isOf(cell, "podman"));
      return of.length === 0 ? [] : targetsOfCell(cell, of, podman);
    });
}

function targetsOfCell(cell: Cell, of: readonly Sample[], podman: readonly Sample[]): Target[] {
  const targets: Target[] = [];
  const say = (isMet: boolean, text: string) => targets.push({ cell, isMet, text: `${nameOf(cell)}: ${text}` });
  const freeze = column(of, "freeze_ms");
  const [p50, p99] = [percentile(freeze, 0.5), percentile(freeze, 0.99)];
  say(p50 <= 100 && p99 <= 200, `freeze at most 100 ms p50 and 200 p99: ${whole(p50)} and ${whole(p99)}`);
  const over = of.map((sample) => Number(sample.gap_ms) - Number(sample.freeze_ms)).filter(Number.isFinite);
  say(percentile(over, 0.99) <= 20, `client gap at most 20 ms over its freeze: ${pair(over)}`);
  // No wait of a move may hide behind the word "gap": the client is the same before the cut.
  const before = column(of, "before_ms");
  say(
    Math.max(0, ...before) <= 50,
    `no answer over 50 ms before the cut, while memory is copied: longest ${triple(before)}, ${stalledMoves(of, "over_50_ms_before")}`,
  );
  say(
    Math.max(0, ...column(of, "over_50_ms_after")) === 0,
    `no answer over 50 ms in the 5 s after the resume: ${stalledMoves(of, "over_50_ms_after")}`,
  );
  const isReset = podman.length > 0 && good(podman).length === 0;
  const theirs = percentile(column(told(podman), isReset ? "freeze_ms" : "gap_ms"), 0.5);
  const gap = percentile(column(of, "gap_ms"), 0.5);
  if (cell.memoryMb >= 1000 && Number.isFinite(theirs))
    say(
      theirs >= 10 * gap,
      `gap ten times shorter than podman's: ${(theirs / gap).toFixed(1)} times${isReset ? " (its client's connection was reset; held against its pause)" : ""}`,
    );
  const rate = percentile(column(of, "link_bytes_s"), 0.5);
  if (cell.memoryMb >= 256 && Number.isFinite(rate))
    say(rate >= 1e9, `1 GB/s over loopback on a pair of cores: ${(rate / 1e9).toFixed(2)}, in the largest pass`);
  return targets;
}
