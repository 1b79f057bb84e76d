// Where and of what something was measured: beside every number.
import { cpus, loadavg, release, totalmem } from "node:os";
import { run } from "@aether/kit";

export interface Where {
  /** The commit, with a + where the tree had changes other than measurements; "unknown" outside of one. */
  readonly head: string;
  readonly machine: string;
  /** Of the last minute. */
  readonly load: number;
}

export async function whereNow(): Promise<Where> {
  return {
    head: await head().catch(() => "unknown"),
    machine: `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.version}`,
    load: loadavg()[0] ?? Number.NaN,
  };
}

/** For a page that has one run: "2 x …, Node v24; load 0.3 before it; 2026-01-31, at abc1234". */
export const told = ({ machine, load, head }: Where, at = new Date()): string =>
  `${machine}; load ${load.toFixed(1)} before it; ${at.toISOString().slice(0, 10)}, at ${head}`;

async function head(): Promise<string> {
  const git = async (...args: string[]) => (await run("git", args, { deadlineMs: 10_000 })).stdout.trim();
  const isChanged = (await git("status", "--porcelain", "--", ":/", ":(exclude,top)docs/benchmarks*")) !== "";
  return `${await git("rev-parse", "--short", "HEAD")}${isChanged ? "+" : ""}`;
}
