// Self-checks as a table of named values: a check says what it looked at, why it matters, and how to mend it.
import { withDeadline } from "./wait.ts";

export type CheckStatus = "ok" | "warn" | "fail";

export interface CheckResult {
  readonly status: CheckStatus;
  /** What was found, in one line. */
  readonly detail: string;
  /** How to mend it; absent when ok. */
  readonly mend?: string;
}

export interface Check {
  /** kebab-case; stable, scripts use it. */
  readonly name: string;
  /** What it is, for people. */
  readonly title: string;
  /** Why it matters. */
  readonly why: string;
  run(signal: AbortSignal): Promise<CheckResult>;
}

export interface CheckReport extends CheckResult {
  readonly name: string;
  readonly title: string;
  readonly why: string;
  readonly durationMs: number;
}

const deadlineMs = 30_000;

/** Runs every check, each within 30 s even when it ignores its signal; one that throws has failed with its message. */
export async function runChecks(checks: readonly Check[], signal: AbortSignal): Promise<CheckReport[]> {
  const reports: CheckReport[] = [];
  for (const check of checks) {
    signal.throwIfAborted();
    const startedMs = performance.now();
    const result = await withDeadline(check.name, deadlineMs, async (inner) => check.run(inner), signal).catch(
      (caught: unknown): CheckResult => ({ status: "fail", detail: caught instanceof Error ? caught.message : String(caught) }),
    );
    reports.push({ name: check.name, title: check.title, why: check.why, durationMs: performance.now() - startedMs, ...result });
  }
  signal.throwIfAborted();
  return reports;
}
