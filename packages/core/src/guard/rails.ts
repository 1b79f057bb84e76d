// Guard rails: pure functions over what happened and what is set. Each says whom it holds back, until when, and why.

export interface RailLimits {
  /** Moves under way in the whole fleet, and from or to one node. */
  readonly movesAtOnce: number;
  readonly movesEach: number;
  /** A workload that moved rests this long before a move that nothing forces; each failure in a row doubles it, up to `longestRestMs`. */
  readonly restMs: number;
  /** So many failures in a row between two nodes open their circuit for `circuitMs`. */
  readonly circuitFailures: number;
  readonly circuitMs: number;
}

/** From the configuration's words. */
export function railLimits(moves: {
  readonly atOnce: number;
  readonly atOnceEachNode: number;
  readonly restSeconds: number;
  readonly circuitFailures: number;
  readonly circuitSeconds: number;
}): RailLimits {
  return {
    movesAtOnce: moves.atOnce,
    movesEach: moves.atOnceEachNode,
    restMs: moves.restSeconds * 1000,
    circuitFailures: moves.circuitFailures,
    circuitMs: moves.circuitSeconds * 1000,
  };
}

const longestRestMs = 6 * 3_600_000;

/** An ended move, as the rails see it. */
export interface PastMove {
  readonly workload: string;
  readonly sourceNodeId: string;
  readonly targetNodeId: string;
  readonly isDone: boolean;
  /** Of the error; empty when it is done. */
  readonly code: string;
  readonly endedAtMs: number;
}

/** Failures that say nothing about the pair: the workload's own, or a person's doing. */
const notThePair: ReadonlySet<string> = new Set(["PREFLIGHT_REFUSED", "CANCELLED", "STALE_EPOCH", "NO_TARGET", "NOT_BEGUN"]);

export interface Circuit {
  readonly sourceNodeId: string;
  readonly targetNodeId: string;
  readonly failures: number;
  readonly untilMs: number;
  readonly lastError: string;
}

/** Pairs between which the last moves failed in a row. @param moves newest first. */
export function openCircuits(moves: readonly PastMove[], limits: RailLimits, nowMs: number): Circuit[] {
  const pairs = new Map<string, { failures: number; isOver: boolean; newest: PastMove | undefined }>();
  for (const move of moves) {
    const key = `${move.sourceNodeId} ${move.targetNodeId}`;
    const pair = pairs.get(key) ?? { failures: 0, isOver: false, newest: undefined };
    pairs.set(key, pair);
    if (pair.isOver || (!move.isDone && notThePair.has(move.code))) continue;
    if (move.isDone) pair.isOver = true;
    else {
      pair.failures++;
      pair.newest ??= move;
    }
  }
  return [...pairs.values()].flatMap(({ failures, newest }) => {
    if (newest === undefined || failures < limits.circuitFailures) return [];
    const untilMs = newest.endedAtMs + limits.circuitMs;
    if (untilMs <= nowMs) return [];
    return [{ sourceNodeId: newest.sourceNodeId, targetNodeId: newest.targetNodeId, failures, untilMs, lastError: newest.code }];
  });
}

export interface Rest {
  readonly workload: string;
  readonly untilMs: number;
  /** Failed moves in a row. */
  readonly failures: number;
  readonly reason: string;
}

/** Workloads that moved, or failed to, a short time ago. @param moves newest first. */
export function resting(moves: readonly PastMove[], limits: RailLimits, nowMs: number): Rest[] {
  const runs = new Map<string, { failures: number; isOver: boolean; newest: PastMove }>();
  for (const move of moves) {
    const run = runs.get(move.workload) ?? { failures: 0, isOver: false, newest: move };
    runs.set(move.workload, run);
    if (run.isOver) continue;
    if (move.isDone) run.isOver = true;
    else if (move.code !== "CANCELLED") run.failures++;
  }
  return [...runs.values()].flatMap(({ failures, newest }) => {
    const restMs = Math.min(longestRestMs, limits.restMs * 2 ** failures);
    const untilMs = newest.endedAtMs + restMs;
    if (untilMs <= nowMs) return [];
    const what = failures === 0 ? "it moved" : `${failures === 1 ? "a move" : `${failures} moves in a row`} of it failed (${newest.code})`;
    return [{ workload: newest.workload, untilMs, failures, reason: `${what} ${Math.round((nowMs - newest.endedAtMs) / 1000)} s ago` }];
  });
}

/** A node that was left within this time is gone back to only as a last resort. */
const pingPongMs = 30 * 60_000;

/** Nodes that each workload left a short time ago: to go back there is ping-pong. */
export function leftRecently(moves: readonly PastMove[], nowMs: number): Map<string, Set<string>> {
  const left = new Map<string, Set<string>>();
  for (const move of moves) {
    if (!move.isDone || nowMs - move.endedAtMs > pingPongMs) continue;
    left.set(move.workload, (left.get(move.workload) ?? new Set()).add(move.sourceNodeId));
  }
  return left;
}

export interface Window {
  /** mon … sun; none: every day. */
  readonly days: readonly string[];
  /** Minutes of the day, UTC. An end that is not after the start is of the next day. */
  readonly fromMinute: number;
  readonly toMinute: number;
}

const dayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;
export const isDayName = (text: string): boolean => (dayNames as readonly string[]).includes(text);

/** True where no window is set: then it is always time. */
export function isInWindow(windows: readonly Window[], nowMs: number): boolean {
  if (windows.length === 0) return true;
  const now = new Date(nowMs);
  const minute = now.getUTCHours() * 60 + now.getUTCMinutes();
  const today = now.getUTCDay();
  const isOn = (window: Window, day: number) => window.days.length === 0 || window.days.includes(dayNames[(day + 7) % 7] ?? "");
  return windows.some((window) => {
    if (window.toMinute > window.fromMinute) return isOn(window, today) && minute >= window.fromMinute && minute < window.toMinute;
    return (isOn(window, today) && minute >= window.fromMinute) || (isOn(window, today - 1) && minute < window.toMinute);
  });
}
