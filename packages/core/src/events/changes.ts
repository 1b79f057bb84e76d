// What changes all the time and is no event: that something was measured, assessed, fetched. Told to pages that watch, so that none of them has to ask
// again and again. Nothing is kept and nothing is waited for: who comes later reads what is there now.
import { type Changes, ChangesSchema, NodeHeardSchema } from "@aether/contract/gen/aether/v2/live_pb";
import type { NodeUsage } from "@aether/contract/gen/aether/v2/node_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";

/** First words of what the page read. */
export type ChangedNoun =
  | "telemetry"
  | "oracle"
  | "migration"
  | "drill"
  | "certificate"
  | "risk"
  | "price"
  | "feed"
  | "guard"
  | "runbook-run";

export interface ChangesHub {
  note(...nouns: readonly ChangedNoun[]): void;
  /** A node said something. */
  heard(nodeId: string, usage: NodeUsage | undefined): void;
  /** Its session has begun or ended. */
  turned(nodeId: string): void;
  /** Gathered for a moment each, until the signal aborts; then it ends without an error. */
  watch(options: { readonly fleet: boolean }, signal: AbortSignal): AsyncIterable<Changes>;
}

export interface ChangesOptions {
  readonly isConnected: (nodeId: string) => boolean;
  readonly nowMs: () => number;
  /** Nouns are gathered this long, ms; default 250. */
  readonly gatherMs?: number;
  /** So is what nodes say; default 2,000. */
  readonly fleetMs?: number;
}

/** In one message. Ten thousand nodes come round in 40 s; what happens to one of them is an event and is told at once. */
const nodesEach = 500;

interface Heard {
  readonly atMs: number;
  readonly usage: NodeUsage | undefined;
}

interface Watcher {
  readonly nouns: Set<ChangedNoun>;
  /** Not told yet, in the order in which they were heard first. */
  readonly nodes: Set<string> | undefined;
  wake(): void;
}

export function createChanges({ isConnected, nowMs, gatherMs = 250, fleetMs = 2_000 }: ChangesOptions): ChangesHub {
  const watchers = new Set<Watcher>();
  const last = new Map<string, Heard>();

  const take = (nodes: Set<string>) => {
    const ids = [...nodes].slice(0, nodesEach);
    for (const id of ids) nodes.delete(id);
    return ids.map((id) => {
      const heard = last.get(id);
      return create(NodeHeardSchema, {
        id,
        isConnected: isConnected(id),
        ...(heard === undefined ? {} : { seenAt: timestampFromMs(heard.atMs) }),
        ...(heard?.usage === undefined ? {} : { usage: heard.usage }),
      });
    });
  };

  return {
    note(...nouns) {
      for (const watcher of watchers) {
        for (const noun of nouns) watcher.nouns.add(noun);
        watcher.wake();
      }
    },
    heard(nodeId, usage) {
      if (watchers.size === 0) return;
      last.set(nodeId, { atMs: nowMs(), usage: usage ?? last.get(nodeId)?.usage });
      for (const watcher of watchers) watcher.nodes?.add(nodeId);
    },
    turned(nodeId) {
      for (const watcher of watchers) watcher.nodes?.add(nodeId);
    },
    async *watch({ fleet }, signal) {
      const nodes = fleet ? new Set<string>() : undefined;
      let wake = () => {};
      const watcher: Watcher = { nouns: new Set(), nodes, wake: () => wake() };
      watchers.add(watcher);
      try {
        for (let fleetAtMs = nowMs() + fleetMs; !signal.aborted; ) {
          if (watcher.nouns.size === 0) await pause(fleetAtMs - nowMs(), nodes !== undefined, (resolve) => (wake = resolve), signal);
          await pause(gatherMs, true, () => {}, signal);
          if (signal.aborted) return;
          const isFleetDue = nodes !== undefined && nowMs() >= fleetAtMs;
          if (isFleetDue) fleetAtMs = nowMs() + fleetMs;
          const heard = isFleetDue ? take(nodes) : [];
          if (watcher.nouns.size === 0 && heard.length === 0) continue;
          const nouns = [...watcher.nouns];
          watcher.nouns.clear();
          yield create(ChangesSchema, { nouns, nodes: heard });
        }
      } finally {
        watchers.delete(watcher);
        if (watchers.size === 0) last.clear();
      }
    },
  };
}

/** Until woken, until the time is over where there is one, or until the signal aborts. */
function pause(ms: number, isTimed: boolean, onWake: (resolve: () => void) => void, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = isTimed ? setTimeout(end, Math.max(0, ms)) : undefined;
    signal.addEventListener("abort", end, { once: true });
    onWake(end);
    if (signal.aborted) end();
  });
}
