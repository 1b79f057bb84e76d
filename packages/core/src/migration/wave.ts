// Who leaves first, to where, and when: all workloads of a node, and of all nodes of a wave, packed into the time that is left by priority,
// bandwidth and room. Pure. It promises: no target is given more than it has room for, no node more moves at once than it may carry, nothing
// goes to a node that is itself given notice, and to a pool under a signal only where nothing else is left. What cannot make it is named at once,
// with its state to be kept first (a snapshot) where there is time for that.
import type { GuardNote } from "@aether/contract/gen/aether/v2/guard_pb";
import { GuardNoteSchema } from "@aether/contract/gen/aether/v2/guard_pb";
import type { TargetScore } from "@aether/contract/gen/aether/v2/signal_pb";
import { create } from "@bufbuild/protobuf";
import { explainTarget, type NodeView, poolOf, type ScoreContext, type WorkloadNeed } from "./plan.ts";
import { createTargets, type Rated, type Targets } from "./targets.ts";

/** What a move of one workload is expected to take when it has its nodes for itself. */
export interface MoveTimes {
  readonly timeToSafeMs: number;
  readonly freezeMs: number;
  /** Of `timeToSafeMs`, what the link is busy with it. */
  readonly transferMs: number;
  /** To keep its state in the store instead. */
  readonly snapshotMs: number;
}

export interface WaveNeed extends WorkloadNeed {
  readonly priority: number;
  /** Until its node is gone; undefined: nothing presses, and then no last resort is taken either. */
  readonly leftMs: number | undefined;
  readonly times: MoveTimes;
}

export interface WaveLimits {
  readonly movesAtOnce: number;
  readonly movesEach: number;
  /** Moves under way now, by node (source or target), and in all. */
  readonly busy: ReadonlyMap<string, number>;
  readonly busyInAll: number;
}

export interface WaveMove {
  readonly need: WaveNeed;
  readonly action: "move" | "snapshot" | "stay";
  readonly targetNodeId: string;
  /** From now, ms. */
  readonly startsAfterMs: number;
  readonly safeAfterMs: number;
  readonly reason: string;
  /** The best of those that could take it, and of those that could not, with reasons. */
  readonly candidates: readonly TargetScore[];
  readonly guards: readonly GuardNote[];
}

/** The very end of a notice is not relied on. */
export const lateMs = 1_000;
/** Targets that are tried for one workload, best first. */
const tries = 16;
/** Of a large fleet: candidates that are kept with a decision. A small one is kept whole. */
const keptCandidates = 5;
const smallFleet = 32;

/** No freeze begins later than this before the node is gone: twice what it is expected to take, between 1.5 and 5 s. */
export const freezeMarginMs = (freezeMs: number): number => Math.min(5_000, Math.max(1_500, 2 * freezeMs));

/** In the order in which they begin; what stays is last. */
export function planWave(needs: readonly WaveNeed[], nodes: readonly NodeView[], context: ScoreContext, limits: WaveLimits): WaveMove[] {
  const left = nodes.map((node) => ({ ...node, pool: poolOf(node) }));
  const byId = new Map(left.map((node) => [node.id, node]));
  const targets = createTargets(left);
  const picks = new Map(context.picksByPool);
  const schedule = createSchedule(limits);
  const planned = [...needs].sort(byUrgency).map((need): WaveMove => {
    const now: ScoreContext = { ...context, picksByPool: picks };
    const move = planOne(need, { targets, byId, nodeCount: left.length }, now, schedule);
    const target = byId.get(move.targetNodeId);
    if (move.action === "move" && target !== undefined) {
      target.memoryAvailableBytes -= need.memoryBytes;
      target.workloadCount += 1;
      targets.turns(target);
      if (poolOf(target) !== "") picks.set(poolOf(target), (picks.get(poolOf(target)) ?? 0) + 1);
    }
    return move;
  });
  const rank = { move: 0, snapshot: 1, stay: 2 };
  return planned.sort((a, b) => rank[a.action] - rank[b.action] || a.startsAfterMs - b.startsAfterMs || byUrgency(a.need, b.need));
}

/** The more important first; among equals whose node goes first; among those the shortest, because then most of them make it. */
export function byUrgency(a: WaveNeed, b: WaveNeed): number {
  const leftOf = (need: WaveNeed) => need.leftMs ?? Number.MAX_SAFE_INTEGER;
  return b.priority - a.priority || leftOf(a) - leftOf(b) || a.times.timeToSafeMs - b.times.timeToSafeMs || (a.name < b.name ? -1 : 1);
}

function planOne(
  need: WaveNeed,
  { targets, byId, nodeCount }: { targets: Targets; byId: ReadonlyMap<string, NodeView>; nodeCount: number },
  context: ScoreContext,
  schedule: Schedule,
): WaveMove {
  const source = byId.get(need.nodeId);
  const { rated, unable } = targets.look(need, source, context);
  const shown = nodeCount <= smallFleet ? rated : rated.slice(0, keptCandidates);
  const candidates = [...shown.map(({ node }) => node), ...unable].map((node) => explainTarget(need, source, node, context));
  const usableMs = need.leftMs === undefined ? Number.POSITIVE_INFINITY : need.leftMs - lateMs;
  const isForced = need.leftMs !== undefined;
  const base = { need, candidates };
  let soonest: { atMs: number; node: NodeView } | undefined;
  for (const { node, score } of rated.slice(0, tries)) {
    if (score < 0 && !isForced) continue;
    const slot = schedule.peek(need, node.id);
    if (soonest === undefined || slot.safeMs < soonest.atMs) soonest = { atMs: slot.safeMs, node };
    if (slot.safeMs > usableMs) continue;
    schedule.take(need, node.id, slot);
    const guards = [...slot.guards, ...overridden(need, node, context)];
    const reason = `safe on ${node.id} in ${seconds(slot.safeMs)}${isForced ? ` of ${seconds(usableMs)}` : ""}`;
    return { ...base, action: "move", targetNodeId: node.id, startsAfterMs: slot.startMs, safeAfterMs: slot.safeMs, reason, guards };
  }
  const why = whyNot(rated, nodeCount > 1 || (nodeCount === 1 && !byId.has(need.nodeId)), soonest, usableMs);
  const canSnapshot = isForced && need.times.snapshotMs <= usableMs;
  const reason = canSnapshot ? `${why}; its state is kept in a snapshot first, in ${seconds(need.times.snapshotMs)}` : why;
  const action = canSnapshot ? "snapshot" : "stay";
  return { ...base, action, targetNodeId: "", startsAfterMs: 0, safeAfterMs: canSnapshot ? need.times.snapshotMs : 0, reason, guards: [] };
}

function whyNot(
  rated: readonly Rated[],
  hasOthers: boolean,
  soonest: { atMs: number; node: NodeView } | undefined,
  usableMs: number,
): string {
  if (soonest !== undefined)
    return `it would be safe on ${soonest.node.id} in ${seconds(soonest.atMs)} at the soonest, and ${seconds(usableMs)} can be used`;
  if (rated.length > 0) return "only last resorts could take it, and nothing forces the move";
  return hasOthers ? "no node can take it" : "no node can take it: there is no other node";
}

/** Rails that would have said no, had there been anything else. */
function overridden(need: WaveNeed, node: NodeView, context: ScoreContext): GuardNote[] {
  const notes: GuardNote[] = [];
  if (context.poolsUnderSignal.has(poolOf(node)))
    notes.push(note("pool_signal", poolOf(node), "overridden", "its pool is under a signal; nothing else could take the workload"));
  if (context.openCircuits.has(`${need.nodeId} ${node.id}`))
    notes.push(
      note(
        "circuit",
        `${need.nodeId} -> ${node.id}`,
        "overridden",
        "moves between them failed in a row; nothing else could take the workload",
      ),
    );
  if (need.leftRecently?.has(node.id))
    notes.push(note("anti_ping_pong", need.name, "overridden", `it came from ${node.id} a short time ago`));
  return notes;
}

export const note = (guard: string, subject: string, effect: string, detail: string): GuardNote =>
  create(GuardNoteSchema, { guard, subject, effect, detail });

export interface Slot {
  readonly startMs: number;
  readonly safeMs: number;
  readonly guards: readonly GuardNote[];
}

export interface Schedule {
  peek(need: WaveNeed, targetNodeId: string): Slot;
  take(need: WaveNeed, targetNodeId: string, slot: Slot): void;
}

/**
 * Lanes: so many moves at once in all and for each node; a link carries one transfer after the other (two at once would each take twice as
 * long). What is under way now is taken to be over when the first of the plan would be.
 */
export function createSchedule(limits: WaveLimits): Schedule {
  const fleet = lanes(limits.movesAtOnce, limits.busyInAll);
  const nodes = new Map<string, { lane: number[]; linkFreeMs: number }>();
  const of = (id: string) => {
    const known = nodes.get(id) ?? { lane: lanes(limits.movesEach, limits.busy.get(id) ?? 0), linkFreeMs: 0 };
    nodes.set(id, known);
    return known;
  };
  return {
    peek(need, targetNodeId) {
      const source = of(need.nodeId);
      const target = of(targetNodeId);
      const { timeToSafeMs, transferMs } = need.times;
      const fleetMs = soonest(fleet);
      const nodeMs = Math.max(soonest(source.lane), soonest(target.lane));
      const startMs = Math.max(fleetMs, nodeMs);
      const fixedMs = Math.max(0, timeToSafeMs - transferMs);
      const sendMs = Math.max(startMs + fixedMs, source.linkFreeMs, target.linkFreeMs);
      const guards: GuardNote[] = [];
      if (startMs > 0) {
        const isFleet = fleetMs >= nodeMs;
        const detail = isFleet ? `${limits.movesAtOnce} moves at once` : `${limits.movesEach} moves at once a node`;
        guards.push(
          note(isFleet ? "moves_at_once" : "moves_at_once_each_node", need.name, "delayed", `begins after ${seconds(startMs)}: ${detail}`),
        );
      }
      return { startMs, safeMs: sendMs + transferMs, guards };
    },
    take(need, targetNodeId, slot) {
      for (const id of [need.nodeId, targetNodeId]) {
        const node = of(id);
        occupy(node.lane, slot.safeMs);
        node.linkFreeMs = slot.safeMs;
      }
      occupy(fleet, slot.safeMs);
    },
  };
}

const busyGuessMs = 2_000;
const lanes = (count: number, busy: number): number[] => Array.from({ length: count }, (_, i) => (i < busy ? busyGuessMs : 0));
const soonest = (lane: readonly number[]): number => {
  let least = Number.POSITIVE_INFINITY;
  for (const freeMs of lane) if (freeMs < least) least = freeMs;
  return least;
};

function occupy(lane: number[], untilMs: number): void {
  let at = 0;
  for (const [i, freeMs] of lane.entries()) if (freeMs < (lane[at] ?? 0)) at = i;
  lane[at] = untilMs;
}

const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 20_000 ? 1 : 0)} s`);
