// The short tables of docs/benchmarks.md.
import { type Cell, cellsOf, isOf, methods, missingOf, type Run, type Sample } from "./cells.ts";
import { column, good, pair, percentile, whole } from "./statistics.ts";
import { targetsOf } from "./targets.ts";

export function summarize(samples: readonly Sample[], runs: readonly Run[]): string {
  const cells = cellsOf(samples);
  const memories = [...new Set(cells.map(({ memoryMb }) => memoryMb))].sort((a, b) => a - b);
  const used = runs.filter(({ run }) => samples.some((sample) => sample.run === run));
  const targets = targetsOf(cells, samples);
  const missed = targets.filter(({ isMet }) => !isMet);
  const pre = (cell: Cell) => samples.filter(isOf(cell, "aether-pre-copy"));
  const columns = [...new Map(cells.map(({ dirtyMb, linkMbit }) => [`${dirtyMb} ${linkMbit}`, { dirtyMb, linkMbit }])).values()].filter(
    (each) => memories.some((memoryMb) => pre({ ...each, memoryMb }).length > 0),
  );
  const heads = [...new Set(used.map(({ head }) => head))];
  const days = [...new Set(used.map(({ run }) => run.slice(0, 10)))];
  const wrong = column(samples, "wrong").reduce((a, b) => a + b, 0);
  const ours = samples.filter(({ method }) => method.startsWith("aether-"));
  return [
    `${samples.length} moves of ${days.join(", ")} at ${heads.join(", ")} on ${[...new Set(used.map(({ machine }) => machine))].join("; ")}; load before ${used.length === 1 ? "it" : "its runs"} ${used.map(({ load }) => load.toFixed(1)).join(", ")}. Memory copied ahead: median / largest of n moves, ms. *Freeze*, the client's *gap* over it, and its longest wait *before* the cut, while memory was copied:`,
    "",
    `| | ${columns.map(({ dirtyMb, linkMbit }) => `${dirtyMb === 0 ? "at rest" : `${dirtyMb} MB/s written`}${linkMbit === 0 ? "" : `, ${linkMbit} Mbit/s`}`).join(" | ")} |`,
    `|---|${columns.map(() => "---").join("|")}|`,
    ...memories.map((memoryMb) => `| ${memoryMb} MB | ${columns.map((each) => moves(pre({ ...each, memoryMb }))).join(" | ")} |`),
    "",
    "The client's gap by each method, without a limit of the link: median of n, ms:",
    "",
    `| | ${methods.join(" | ")} | podman / pre-copy |`,
    `|---|${methods.map(() => "---").join("|")}|---|`,
    ...cells.filter(({ linkMbit }) => linkMbit === 0).map((cell) => gaps(cell, samples)),
    "",
    `Wrong answers: ${wrong} in ${samples.length} moves. Moves of ours that ended with an error: ${ours.length - good(ours).length} of ${ours.length}. Targets met: ${targets.length - missed.length} of ${targets.length}${missed.length === 0 ? "." : "; missed:"}`,
    ...missed.map(({ text }) => `- ${text}`),
    "",
    "Not measured:",
    ...missingOf(samples).map((text) => `- ${text}`),
  ].join("\n");
}

function moves(all: readonly Sample[]): string {
  const of = good(all);
  if (all.length === 0) return "not measured";
  const failed = all.length - of.length;
  return `${pair(column(of, "freeze_ms"))}, gap ${pair(column(of, "gap_ms"))}, before ${pair(column(of, "before_ms"))} (${of.length})${failed === 0 ? "" : `, ${failed} failed`}`;
}

function gaps(cell: Cell, samples: readonly Sample[]): string {
  const median = (method: string) => percentile(column(good(samples.filter(isOf(cell, method))), "gap_ms"), 0.5);
  const shown = methods.map((method) => {
    const all = samples.filter(isOf(cell, method));
    if (all.length === 0) return "";
    const of = good(all);
    const reset = all.length === of.length ? "" : `, ${all.length - of.length} failed`;
    return of.length === 0 ? `failed (${all.length})` : `${whole(median(method))} (${of.length}${reset})`;
  });
  const ratio = median("podman") / median("aether-pre-copy");
  return `| ${cell.memoryMb} MB, ${cell.dirtyMb === 0 ? "at rest" : `${cell.dirtyMb} MB/s`} | ${shown.join(" | ")} | ${Number.isFinite(ratio) ? ratio.toFixed(0) : ""} |`;
}
