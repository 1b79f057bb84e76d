// Connections of which it is not known yet who they are: bounded in number, so that whoever only connects and says nothing costs a server neither its
// memory nor its place. Their deadlines are the callers'; this is about how many there are at once.
import type { Logger } from "./log.ts";

export interface WaitingRoom {
  /** Lets a connection wait, and ends another one if there are too many. The answer says that it does not wait any more; safe to repeat. */
  enter(who: string, connection: Waiting): () => void;
  readonly size: number;
}

interface Waiting {
  destroy(): unknown;
}

/** A flood is said once in so long, and not once for each connection. */
const quietMs = 10_000;

/**
 * When it is full, whoever has the most waiting loses the one that has waited longest: a caller that fills the room pushes itself out, and one that is
 * honest needs its place for milliseconds.
 * @param most how many may wait at once
 */
export function createWaitingRoom(most: number, log: Logger): WaitingRoom {
  const callers = new Map<string, Set<Waiting>>();
  let size = 0;
  let saidAtMs = Number.NEGATIVE_INFINITY;

  function leave(who: string, connection: Waiting): void {
    const theirs = callers.get(who);
    if (!theirs?.delete(connection)) return;
    size--;
    if (theirs.size === 0) callers.delete(who);
  }

  function turnOut(): void {
    let [who, theirs]: [string, ReadonlySet<Waiting>] = ["", new Set()];
    for (const [caller, each] of callers) if (each.size > theirs.size) [who, theirs] = [caller, each];
    const [oldest] = theirs;
    if (oldest === undefined) return;
    leave(who, oldest);
    oldest.destroy();
    if (performance.now() - saidAtMs < quietMs) return;
    saidAtMs = performance.now();
    log.warn({ peer: who, waiting: size + 1, ofPeer: theirs.size + 1 }, "connections.crowded");
  }

  return {
    enter(who, connection) {
      if (size >= most) turnOut();
      const theirs = callers.get(who) ?? new Set();
      callers.set(who, theirs.add(connection));
      size++;
      return () => leave(who, connection);
    },
    get size() {
      return size;
    },
  };
}
