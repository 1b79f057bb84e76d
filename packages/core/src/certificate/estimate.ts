// How long a move would take, from what is known of the workload and the pair. Pure. The formula is plain on purpose: its systematic errors
// are taken out by calibration (measured / estimated of earlier moves), and what is left of them is shown as a range.
//
//   time to safe = fixed + files / bandwidth + (pre-copied memory) / (bandwidth - dirty rate) + freeze
//   freeze       = fixed + (bytes that travel inside the freeze) / bandwidth
import type { Measured } from "./measure.ts";
import { quantile } from "./measure.ts";

export interface MoveInputs {
  readonly memoryBytes: number;
  readonly fileBytes: number;
  readonly dirtyBytesPerSecond: number;
  readonly bytesPerSecond: number;
  readonly mode: "pre_copy" | "post_copy" | "stop_and_copy";
  /** What a dump and a restore of a small process took on these nodes, ms. */
  readonly canaryMs: number;
  /** What the source itself says would travel inside the freeze; undefined where it does not say. */
  readonly freezeBytes?: number;
}

/** The parts that do not grow with the workload, as measured by finished moves, ms. */
export interface Pace {
  readonly preflightMs: number;
  readonly prepareMs: number;
  readonly copyMs: number;
  readonly freezeMs: number | undefined;
}

/** From the decision to the first command, and from the resume to the answer of the health check. */
export const decideMs = 100;
/** What the freeze costs beside dump, transfer and restore: cut, stop, compare, commit, resume. */
const freezeFixedMs = 150;
const firstPace: Pace = { preflightMs: 150, prepareMs: 300, copyMs: 150, freezeMs: undefined };
/** Everything but pages, in post-copy and pre-copy. */
const skeletonBytes = 2 << 20;

export interface Estimate {
  readonly copyMs: number;
  readonly freezeMs: number;
  readonly timeToSafeMs: number;
  /** Bytes over the link in all: what a wave must share. */
  readonly bytes: number;
}

export function paceOf(moves: readonly Measured[]): Pace {
  if (moves.length === 0) return firstPace;
  const median = (of: (move: Measured) => number) => Math.max(0, quantile(moves.map(of), 0.5));
  const sent = (bytes: number, move: Measured) => (move.bytesPerSecond === undefined ? 0 : (bytes / move.bytesPerSecond) * 1000);
  const bulk = (move: Measured) => move.fileBytes + (move.mode === "pre_copy" ? move.memoryBytes : 0);
  return {
    preflightMs: median((move) => move.preflightMs),
    prepareMs: median((move) => move.prepareMs),
    copyMs: median((move) => Math.max(20, move.copyMs - sent(bulk(move), move))),
    freezeMs: median((move) => Math.max(20, move.freezeMs - sent(move.freezeBytes, move))),
  };
}

export function freezeBytesOf(inputs: MoveInputs): number {
  if (inputs.freezeBytes !== undefined && inputs.mode !== "pre_copy") return inputs.freezeBytes;
  if (inputs.mode === "stop_and_copy") return inputs.memoryBytes;
  if (inputs.mode === "post_copy") return skeletonBytes;
  // The last round of a copy that converges: what is written while the round before it travels; 0.1 s is where rounds stop paying.
  // What the source says comes on top: memory that only images carry. Of the writes it knows nothing while nobody moves it.
  return skeletonBytes + Math.min(inputs.memoryBytes, inputs.dirtyBytesPerSecond * 0.1) + (inputs.freezeBytes ?? 0);
}

export function estimate(inputs: MoveInputs, pace: Pace): Estimate {
  const perMs = inputs.bytesPerSecond / 1000;
  const inFreeze = freezeBytesOf(inputs);
  const headroom = Math.max(0.05 * perMs, perMs - inputs.dirtyBytesPerSecond / 1000);
  const memoryMs = inputs.mode === "pre_copy" ? inputs.memoryBytes / headroom : 0;
  const copyMs = pace.copyMs + inputs.fileBytes / perMs + memoryMs;
  const freezeMs = (pace.freezeMs ?? freezeFixedMs + inputs.canaryMs) + inFreeze / perMs;
  return {
    copyMs,
    freezeMs,
    timeToSafeMs: decideMs + pace.preflightMs + pace.prepareMs + copyMs + freezeMs,
    bytes: inputs.fileBytes + (inputs.mode === "pre_copy" ? memoryMs * perMs : 0) + inFreeze,
  };
}
