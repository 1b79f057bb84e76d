// What was asked of each host, step by step, with how it ended and the phases that the host measured inside. Pure.
import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import type { Migration } from "@aether/contract/gen/aether/v2/migration_pb";
import { msOf } from "../format/time.ts";
import { type OnOneClock, onOneClock } from "./clock.ts";

export interface LoggedPhase {
  /** The key of its span in the picture. */
  readonly key: string;
  readonly name: string;
  readonly nodeId: string;
  readonly fromMs: number;
  readonly durationMs: number;
  readonly isFailed: boolean;
  readonly facts: Readonly<Record<string, string>>;
}

export interface LoggedStep {
  readonly name: string;
  readonly nodeId: string;
  readonly fromMs: number;
  readonly tookMs: number;
  readonly isFailed: boolean;
  /** Of a step that did not go well. */
  readonly error: string;
  readonly phases: readonly LoggedPhase[];
}

export interface StepLog {
  readonly steps: readonly LoggedStep[];
  /** Of steps that have not answered yet, or whose answer is not on record. */
  readonly others: readonly LoggedPhase[];
}

/** A host's clock is known to some milliseconds; a phase that begins that much before its step is still inside. */
const slackMs = 50;

export function stepLogOf(move: Pick<Migration, "phases" | "clocks">, events: readonly Event[]): StepLog {
  const clock = onOneClock(move);
  const phases = move.phases.map((phase, i) => toPhase(phase, i, clock)).sort((a, b) => a.fromMs - b.fromMs);
  const taken = new Set<string>();
  const steps = events
    .flatMap((event) => toStep(event))
    .sort((a, b) => a.fromMs - b.fromMs)
    .map((step) => {
      const inside = phases.filter(
        ({ key, nodeId, fromMs }) =>
          !taken.has(key) && nodeId === step.nodeId && fromMs >= step.fromMs - slackMs && fromMs <= step.fromMs + step.tookMs + slackMs,
      );
      for (const { key } of inside) taken.add(key);
      return { ...step, phases: inside };
    });
  return { steps, others: phases.filter(({ key }) => !taken.has(key)) };
}

function toPhase(phase: Migration["phases"][number], i: number, clock: OnOneClock): LoggedPhase {
  const { name, nodeId, durationMs, outcome, facts } = phase;
  return { key: `phase-${i}`, name, nodeId, fromMs: clock.startOf(phase), durationMs, isFailed: outcome === "failed", facts };
}

function toStep({ type, at, dataJson, message }: Event): LoggedStep[] {
  if (type !== "migration.step.done" && type !== "migration.step.failed") return [];
  const data = parse(dataJson);
  const endMs = msOf(at);
  if (endMs === undefined || typeof data.step !== "string" || typeof data.nodeId !== "string") return [];
  const tookMs = typeof data.tookMs === "number" ? data.tookMs : 0;
  const isFailed = type.endsWith("failed");
  const name = data.step.replaceAll("_", " ");
  return [{ name, nodeId: data.nodeId, fromMs: endMs - tookMs, tookMs, isFailed, error: isFailed ? message : "", phases: [] }];
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
