// A move as lanes on one axis of time: what the control plane decided, what each host did, what a client saw. Pure: times in, places out.
import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import { type Migration, MigrationState } from "@aether/contract/gen/aether/v2/migration_pb";
import { msOf } from "../format/time.ts";
import { controlPlane, type OnOneClock, onOneClock } from "./clock.ts";

export interface Span {
  readonly key: string;
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly isFailed: boolean;
  /** It has not ended: `toMs` is now. */
  readonly isOpen: boolean;
  readonly facts: Readonly<Record<string, string>>;
}

export type LaneKind = "control" | "source" | "target" | "client";

export interface Lane {
  readonly kind: LaneKind;
  readonly title: string;
  /** Spans of one row do not overlap. */
  readonly rows: readonly (readonly Span[])[];
}

export interface Layout {
  readonly fromMs: number;
  readonly toMs: number;
  readonly lanes: readonly Lane[];
  /** The workload stood still: from the cut of its network on the source to its resume on the target, or to its thaw. */
  readonly freeze: { readonly fromMs: number; readonly toMs: number; readonly isOpen: boolean } | undefined;
  readonly committedMs: number | undefined;
  /** How sure it is that the lanes stand to each other as drawn; undefined: each is by its host's own clock. */
  readonly uncertaintyMs: number | undefined;
}

export interface ClientGap {
  readonly client: string;
  readonly fromMs: number;
  readonly toMs: number;
}

type Move = Pick<Migration, "createdAt" | "endedAt" | "phases" | "clocks" | "sourceNodeId" | "targetNodeId" | "receipt" | "state">;

export function layoutOf(move: Move, events: readonly Event[], gaps: readonly ClientGap[], nowMs: number): Layout {
  const startMs = msOf(move.createdAt) ?? nowMs;
  const isOpen = move.endedAt === undefined;
  const clock = onOneClock(move);
  const phases = move.phases.map((phase, i) => toSpan(phase, i, clock)).filter((span) => span.fromMs > 0);
  const endMs = Math.max(msOf(move.endedAt) ?? nowMs, ...phases.map(({ toMs }) => toMs), startMs + 1);
  const states = statesOf(events, endMs, isOpen);
  const fromMs = Math.min(startMs, ...phases.map((span) => span.fromMs), ...states.map((span) => span.fromMs));
  const seenGaps = gaps.filter((gap) => gap.toMs > fromMs && gap.fromMs < endMs);
  const toMs = Math.max(endMs, ...seenGaps.map((gap) => gap.toMs));
  const of = (nodeId: string) => phases.filter((_, i) => move.phases[i]?.nodeId === nodeId);
  const lanes: Lane[] = [
    { kind: "control", title: "control plane", rows: pack([...states, ...of(controlPlane)]) },
    { kind: "source", title: move.sourceNodeId, rows: pack(of(move.sourceNodeId)) },
    { kind: "target", title: move.targetNodeId, rows: pack(of(move.targetNodeId)) },
  ];
  const clients = new Map<string, Span[]>();
  for (const [i, gap] of seenGaps.entries()) {
    const span = {
      key: `gap-${i}`,
      name: "pause",
      fromMs: Math.max(fromMs, gap.fromMs),
      toMs: gap.toMs,
      isFailed: false,
      isOpen: false,
      facts: {},
    };
    clients.set(gap.client, [...(clients.get(gap.client) ?? []), span]);
  }
  for (const [client, spans] of clients) lanes.push({ kind: "client", title: `client ${client}`, rows: pack(spans) });
  return {
    fromMs,
    toMs,
    lanes: lanes.filter(({ kind, rows }) => rows.length > 0 || kind !== "client"),
    freeze: freezeOf(move, phases, endMs, isOpen),
    committedMs: msOf(move.receipt?.committedAt) ?? eventAt(events, "migration.committed"),
    uncertaintyMs: clock.uncertaintyMs,
  };
}

function toSpan(phase: Migration["phases"][number], i: number, clock: OnOneClock): Span {
  const fromMs = clock.startOf(phase);
  const { name, outcome, facts } = phase;
  return { key: `phase-${i}`, name, fromMs, toMs: fromMs + phase.durationMs, isFailed: outcome === "failed", isOpen: false, facts };
}

const stateEvents = new Set(
  Object.values(MigrationState)
    .filter((name) => typeof name === "string")
    .map((name) => `migration.${name.toLowerCase()}`),
);

function statesOf(events: readonly Event[], endMs: number, isOpen: boolean): Span[] {
  const changes = events
    .filter(({ type }) => stateEvents.has(type))
    .map(({ type, at, sequence }) => ({ name: type.slice("migration.".length).replaceAll("_", " "), atMs: msOf(at) ?? 0, sequence }))
    .sort((a, b) => a.atMs - b.atMs);
  const spans = changes.map(({ name, atMs, sequence }, i) => {
    const isLast = i === changes.length - 1;
    const toMs = Math.max(atMs, changes[i + 1]?.atMs ?? endMs);
    const isFailed = name === "rolled back" || name === "needs operator" || name === "rolling back";
    return { key: `state-${sequence}`, name, fromMs: atMs, toMs, isFailed, isOpen: isLast && isOpen, facts: {} };
  });
  // The last state of an ended move is its end, not something that lasts.
  return isOpen ? spans : spans.filter((span, i) => i < spans.length - 1 || span.isFailed);
}

const eventAt = (events: readonly Event[], type: string): number | undefined => msOf(events.find((event) => event.type === type)?.at);

function freezeOf(move: Move, phases: readonly Span[], endMs: number, isOpen: boolean): Layout["freeze"] {
  const cut = phases.find(({ name }) => name === "freeze.network_cut") ?? phases.find(({ name }) => name.startsWith("freeze."));
  if (cut === undefined) return undefined;
  const measured = move.receipt?.freezeMs ?? 0;
  if (measured > 0) return { fromMs: cut.fromMs, toMs: cut.fromMs + measured, isOpen: false };
  const back = phases.find(({ name }) => name === "resume.network" || name === "resume.continue" || name.startsWith("thaw"));
  return { fromMs: cut.fromMs, toMs: Math.max(cut.toMs, back?.toMs ?? endMs), isOpen: isOpen && back === undefined };
}

/** As few rows as there are things at once: each span goes into the first row that is free when it begins. */
export function pack(spans: readonly Span[]): Span[][] {
  const rows: Span[][] = [];
  for (const span of [...spans].sort((a, b) => a.fromMs - b.fromMs || b.toMs - a.toMs)) {
    const row = rows.find((each) => (each.at(-1)?.toMs ?? 0) <= span.fromMs + 0.5);
    if (row === undefined) rows.push([span]);
    else row.push(span);
  }
  return rows;
}

/** Round offsets for the axis, at most `most` of them: 0, 200, 400 … ms after the start. */
export function ticksOf(lengthMs: number, most: number): number[] {
  if (!(lengthMs > 0) || most < 1) return [0];
  const raw = lengthMs / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= raw) ?? raw;
  const ticks: number[] = [];
  for (let i = 0; i * step <= lengthMs * 1.0001; i++) ticks.push(i * step);
  return ticks;
}

/** What is under way at this moment, for whoever reads the replay instead of seeing it. */
export function at(layout: Layout, ms: number): string[] {
  const found: string[] = [];
  for (const lane of layout.lanes) {
    for (const span of lane.rows.flat()) if (span.fromMs <= ms && ms <= span.toMs) found.push(`${lane.title}: ${span.name}`);
  }
  return found;
}
