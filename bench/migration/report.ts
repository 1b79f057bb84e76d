// The page of all that was measured: percentiles by nearest rank (with 15 samples the 99th is the largest), ratios to stop-and-copy by criu alone, each target met or
// missed, and of a freeze that missed what its time was spent on.
import { type Cell, isOf, phasesOf, type Sample } from "./cells.ts";

/** Nearest rank; NaN of nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

const nameOf = (cell: Cell) => `${cell.memoryMb} MB, ${cell.dirtyMb} MB/s${cell.linkMbit === 0 ? "" : `, ${cell.linkMbit} Mbit/s`}`;
const whole = (value: number) => (Number.isNaN(value) ? "-" : value.toFixed(0));
const pair = (values: readonly number[]) => `${whole(percentile(values, 0.5))} / ${whole(percentile(values, 0.99))}`;
const triple = (values: readonly number[]) => (values.length === 0 ? "-" : `${pair(values)} / ${whole(Math.max(...values))}`);
const good = (samples: readonly Sample[]) => samples.filter((sample) => sample.error === "");
/** A client that was reset says nothing of a gap; what the method itself took is known all the same. */
const told = (samples: readonly Sample[]) => (good(samples).length > 0 ? good(samples) : samples);
const column = (samples: readonly Sample[], name: keyof Sample) => samples.map((sample) => Number(sample[name])).filter(Number.isFinite);

export function report(
  cells: readonly Cell[],
  methods: readonly string[],
  samples: readonly Sample[],
  machine: string,
  notes: readonly string[],
): string {
  return [
    "# Moves over a grid of memory and writes",
    `Made by \`npm run bench:migration\`; every move is a line of [migration.csv](migration.csv). Machine: ${machine}.`,
    "One redis, one client in a closed loop of 1 ms on one connection, a writer of so many MB/s beside it, two hosts that are network namespaces of one machine.",
    "criu's script and podman leave their images on the one machine: a link's rate is nothing to them; criu-lazy fetches its pages over loopback.",
    "*Freeze*: from the network cut to the resume. *Gap*: the client's longest wait. *Safe*: from the request to the resume. Medians / 99th percentiles (/ largest), ms.",
    "",
    ...table(cells, methods, samples),
    "",
    "## Targets",
    ...targets(cells, samples),
    "",
    "## What a freeze is made of",
    "Medians of phases of `aether-pre-copy`, ms; those of the target go on beside those of the source.",
    "",
    ...freezes(cells, samples),
    "",
    "## What the slowest freezes were made of",
    "Of each cell the slowest move of `aether-pre-copy`: the phases that took longer than their median in that cell by 3 ms and more, ms over it.",
    "",
    ...slowest(cells, samples),
    ...(notes.length === 0 ? [] : ["", "## Not measured", ...notes.map((note) => `- ${note}`)]),
    "",
  ].join("\n");
}

function table(cells: readonly Cell[], methods: readonly string[], samples: readonly Sample[]): string[] {
  const lines = [
    "| memory, writes | method | n | freeze | client gap | safe after | worst answer after | answers over 50 ms | CPU s | MiB sent | gap / criu | errors, wrong |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
  ];
  for (const cell of cells) {
    const baseline = percentile(column(good(samples.filter(isOf(cell, "criu"))), "gap_ms"), 0.5);
    for (const method of methods) {
      const all = samples.filter(isOf(cell, method));
      const of = told(all);
      if (all.length === 0) continue;
      const gaps = column(good(all), "gap_ms");
      const ratio = percentile(gaps, 0.5) / baseline;
      lines.push(
        `| ${nameOf(cell)} | ${method} | ${all.length} | ${triple(column(of, "freeze_ms"))} | ${triple(gaps)} | ${pair(column(of, "safe_ms"))} | ` +
          `${pair(column(of, "worst_after_ms"))} | ${pair(column(of, "over_50_ms_after"))} | ${percentile(column(of, "cpu_s"), 0.5).toFixed(1)} | ` +
          `${whole(percentile(column(of, "sent_bytes"), 0.5) / 2 ** 20)} | ${Number.isNaN(ratio) ? "-" : ratio.toFixed(2)} | ` +
          `${all.length - good(all).length}, ${all.reduce((sum, sample) => sum + Number(sample.wrong), 0)} |`,
      );
    }
  }
  return lines;
}

/** Each target of the product, cell by cell: what was reached, and what was not. */
function targets(cells: readonly Cell[], samples: readonly Sample[]): string[] {
  const lines: string[] = [];
  const say = (isMet: boolean, text: string) => lines.push(`- ${isMet ? "met" : "**missed**"}: ${text}`);
  for (const cell of cells.filter(({ linkMbit, dirtyMb }) => linkMbit === 0 && dirtyMb <= 50)) {
    const of = good(samples.filter(isOf(cell, "aether-pre-copy")));
    if (of.length === 0) continue;
    const freeze = column(of, "freeze_ms");
    const [p50, p99] = [percentile(freeze, 0.5), percentile(freeze, 0.99)];
    say(p50 <= 100 && p99 <= 200, `${nameOf(cell)}: freeze at most 100 ms p50 and 200 p99: ${whole(p50)} and ${whole(p99)}`);
    const over = of.map((sample) => Number(sample.gap_ms) - Number(sample.freeze_ms)).filter(Number.isFinite);
    say(percentile(over, 0.99) <= 20, `${nameOf(cell)}: client gap at most 20 ms over its freeze: ${pair(over)}`);
    const stalls = column(of, "over_50_ms_after");
    say(
      Math.max(0, ...stalls) === 0,
      `${nameOf(cell)}: no answer over 50 ms after the resume: ${stalls.reduce((a, b) => a + b, 0)} in ${of.length} moves`,
    );
    const ofPodman = samples.filter(isOf(cell, "podman"));
    const isReset = good(ofPodman).length === 0;
    const podman = percentile(column(told(ofPodman), isReset ? "freeze_ms" : "gap_ms"), 0.5);
    const gap = percentile(column(of, "gap_ms"), 0.5);
    if (cell.memoryMb >= 1000 && Number.isFinite(podman))
      say(
        podman >= 10 * gap,
        `${nameOf(cell)}: gap ten times shorter than podman's: ${(podman / gap).toFixed(1)} times${isReset ? " (its client's connection was reset; held against its pause)" : ""}`,
      );
    const rate = percentile(column(of, "link_bytes_s"), 0.5);
    if (cell.memoryMb >= 256 && Number.isFinite(rate))
      say(rate >= 1e9, `${nameOf(cell)}: 1 GB/s over loopback on a pair of cores: ${(rate / 1e9).toFixed(2)}, in the largest pass`);
  }
  return lines;
}

/** Phases that a client waits for; of those that run beside others the table above tells too. */
const isInside = (name: string) =>
  /^((freeze|transfer|restore|commit|resume)\.|commit$|in-no-phase$)/.test(name) && name !== "resume.health" && name !== "restore.wait";

function slowest(cells: readonly Cell[], samples: readonly Sample[]): string[] {
  return cells.flatMap((cell) => {
    const of = good(samples.filter(isOf(cell, "aether-pre-copy")));
    const last = [...of].sort((a, b) => Number(a.freeze_ms) - Number(b.freeze_ms)).at(-1);
    if (last === undefined || of.length < 3) return [];
    const medianOf = (name: string) =>
      percentile(
        of.flatMap((sample) => phasesOf(sample).get(name) ?? []),
        0.5,
      );
    const longer = [...phasesOf(last)]
      .filter(([name]) => isInside(name))
      .map(([name, ms]) => [name, ms - medianOf(name)] as const)
      .filter(([, over]) => over >= 3)
      .sort(([, a], [, b]) => b - a)
      .map(([name, over]) => `${name} +${whole(over)}`);
    const median = percentile(column(of, "freeze_ms"), 0.5);
    return `- ${nameOf(cell)}: ${whole(Number(last.freeze_ms))} against ${whole(median)}: ${longer.join(", ") || "no phase by itself"}`;
  });
}

function freezes(cells: readonly Cell[], samples: readonly Sample[]): string[] {
  const measured = cells
    .map((cell) => ({ cell, of: good(samples.filter(isOf(cell, "aether-pre-copy"))).map(phasesOf) }))
    .filter(({ of }) => of.length > 0);
  const names = [...new Set(measured.flatMap(({ of }) => of.flatMap((phases) => [...phases.keys()])))].filter(isInside);
  const values = (of: readonly Map<string, number>[], name: string) => of.flatMap((phases) => phases.get(name) ?? []);
  return [
    `| phase | ${measured.map(({ cell }) => nameOf(cell)).join(" | ")} |`,
    `|---|${measured.map(() => "---").join("|")}|`,
    ...names.map((name) => `| ${name} | ${measured.map(({ of }) => percentile(values(of, name), 0.5).toFixed(1)).join(" | ")} |`),
  ];
}
