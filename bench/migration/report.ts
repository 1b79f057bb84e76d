// The page of all that was measured: percentiles, ratios to stop-and-copy by criu alone, each target met or missed, and of a freeze that missed what its time was spent on.
import { type Cell, cellsOf, isOf, methods, missingOf, nameOf, phasesOf, type Run, type Sample } from "./cells.ts";
import { column, good, pair, percentile, told, triple, whole } from "./statistics.ts";
import { targetsOf } from "./targets.ts";

export function report(samples: readonly Sample[], allRuns: readonly Run[]): string {
  const cells = cellsOf(samples);
  const runs = allRuns.filter(({ run }) => samples.some((sample) => sample.run === run));
  const notes = [...new Set(runs.flatMap((run) => run.notes))];
  return [
    "# Moves over a grid of memory and writes",
    "Made by `npm run bench:migration`; every move is a line of [migration.csv](migration.csv), which names its run.",
    "One redis, one client in a closed loop of 1 ms on one connection, a writer of so many MB/s beside it, two hosts that are network namespaces of one machine.",
    "criu's script and podman leave their images on the one machine: a link's rate is nothing to them; criu-lazy fetches its pages over loopback.",
    "",
    "*Freeze*: from the network cut to the resume. *Gap*: the client's longest wait that overlaps the freeze. *Before the cut*: its longest wait from the request for the move until the cut,",
    "while memory is copied (criu's script and podman copy nothing ahead). *After*: of the requests in the 5 s after the resume. *Safe*: from the request to the resume. Medians / 99th percentiles (/ largest),",
    "by nearest rank, ms: of fewer than a hundred moves the 99th is the largest. The baselines' freeze is what their commands took; their resume is somewhere before the end of it.",
    "",
    ...runs.map((run) => {
      const count = samples.filter((sample) => sample.run === run.run).length;
      return `- Run of ${run.run.replace("T", " ")} UTC at ${run.head}: ${count} moves; ${run.machine}; load ${run.load.toFixed(1)} before it; ${run.criu}; \`${run.options}\``;
    }),
    "",
    ...table(cells, samples),
    "",
    "## Targets",
    ...targetsOf(cells, samples).map(({ isMet, text }) => `- ${isMet ? "met" : "**missed**"}: ${text}`),
    "",
    "## First moves and later ones",
    "Of `aether-pre-copy`, medians, ms. A redis is filled once for some moves there and back: the first move finds pages as redis made them, a later one as the move before has left them.",
    "",
    ...firstMoves(cells, samples),
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
    "",
    "## Not measured",
    "Of a grid of {16, 256, 1024, 4096 MB} x {0, 50, 200 MB/s} x {no limit, 1000 Mbit/s}, and else:",
    ...[...missingOf(samples), ...notes].map((note) => `- ${note}`),
    "",
  ].join("\n");
}

function table(cells: readonly Cell[], samples: readonly Sample[]): string[] {
  const lines = [
    "| memory, writes | method | n | freeze | client gap | longest before the cut | worst after | answers over 50 ms: before, after | safe after | CPU s | MiB sent | gap / criu | errors, wrong |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
  ];
  for (const cell of cells) {
    const baseline = percentile(column(good(samples.filter(isOf(cell, "criu"))), "gap_ms"), 0.5);
    for (const method of methods) {
      const all = samples.filter(isOf(cell, method));
      if (all.length === 0) continue;
      const of = told(all);
      const gaps = column(good(all), "gap_ms");
      const ratio = percentile(gaps, 0.5) / baseline;
      const sum = (name: keyof Sample) => column(all, name).reduce((a, b) => a + b, 0);
      const isAhead = method.startsWith("aether-");
      const cells = [
        nameOf(cell),
        method,
        all.length,
        triple(column(of, "freeze_ms")),
        triple(gaps),
        isAhead ? triple(column(of, "before_ms")) : "-",
        pair(column(good(all), "worst_after_ms")),
        `${isAhead ? sum("over_50_ms_before") : "-"}, ${sum("over_50_ms_after")}`,
        pair(column(of, "safe_ms")),
        percentile(column(of, "cpu_s"), 0.5).toFixed(1),
        whole(percentile(column(of, "sent_bytes"), 0.5) / 2 ** 20),
        Number.isNaN(ratio) ? "-" : ratio.toFixed(2),
        `${all.length - good(all).length}, ${sum("wrong")}`,
      ];
      lines.push(`| ${cells.join(" | ")} |`);
    }
  }
  return lines;
}

function firstMoves(cells: readonly Cell[], samples: readonly Sample[]): string[] {
  const lines = [
    "| memory, writes | first: n | freeze | gap | safe after | later: n | freeze | gap | safe after |",
    "|---|---|---|---|---|---|---|---|---|",
  ];
  for (const cell of cells) {
    const of = good(samples.filter(isOf(cell, "aether-pre-copy")));
    if (of.length === 0) continue;
    const told = [of.filter(({ nth }) => nth === "1"), of.filter(({ nth }) => nth !== "1")].flatMap((some) => [
      some.length,
      ...(["freeze_ms", "gap_ms", "safe_ms"] as const).map((name) => whole(percentile(column(some, name), 0.5))),
    ]);
    lines.push(`| ${nameOf(cell)} | ${told.join(" | ")} |`);
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
