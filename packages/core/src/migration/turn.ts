// Which of the moves that wait may begin: slots are given by priority, then in the order of the plan; none that nobody asked for while moves are paused. Pure.
import { isEnded, type MigrationRecord } from "./state.ts";

export interface Slots {
  readonly movesAtOnce: number;
  readonly movesEach: number;
  /** The kill switch: only what a person began may begin. */
  readonly isPaused?: boolean;
}

const isByItself = ({ cause }: MigrationRecord): boolean => cause.startsWith("decision/");

/** Ids of planned moves that may begin now. One that has to wait for a busy node holds its place before those that come after it. */
export function whoseTurn(records: Iterable<MigrationRecord>, { movesAtOnce, movesEach, isPaused = false }: Slots): Set<string> {
  const open = [...records].filter(({ state }) => !isEnded(state));
  const on = new Map<string, number>();
  let inAll = 0;
  const count = ({ sourceNodeId, targetNodeId }: MigrationRecord) => {
    inAll++;
    for (const id of new Set([sourceNodeId, targetNodeId])) on.set(id, (on.get(id) ?? 0) + 1);
  };
  for (const each of open) if (each.state !== "planned") count(each);
  const may = new Set<string>();
  const waiting = open.filter((each) => each.state === "planned" && !(isPaused && isByItself(each)));
  for (const each of waiting.sort(byPlan)) {
    const isRoom = (id: string) => (on.get(id) ?? 0) < movesEach;
    if (inAll < movesAtOnce && isRoom(each.sourceNodeId) && isRoom(each.targetNodeId)) may.add(each.id);
    count(each);
  }
  return may;
}

const byPlan = (a: MigrationRecord, b: MigrationRecord): number =>
  b.priority - a.priority || a.createdAtMs - b.createdAtMs || a.order - b.order || (a.id < b.id ? -1 : 1);
