// What happens when a drill begins and ends, by its kind. Each can be repeated: a restart in between does it again.
import type { Drill } from "@aether/contract/gen/aether/v2/drill_pb";
import type { Logger } from "@aether/kit";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { markShort, unmark } from "./capacity.ts";
import { crashAgent } from "./crash.ts";
import type { Injector } from "./injector.ts";
import { announcePrice, withdrawPrice } from "./price.ts";

export interface StageParts {
  readonly db: Db;
  readonly sessions: Pick<AgentSessions, "send">;
  readonly injector: Injector;
  /** Assesses every node and pool again, because a price has changed. */
  readonly assess: () => Promise<unknown>;
  readonly log: Logger;
}

/** @param report what is kept of the drill beside its columns. Throws DRILL_UNAVAILABLE, UNAVAILABLE. */
export async function announce(
  { db, sessions, injector, assess, log }: StageParts,
  drill: Row<"drills">,
  report: Drill,
  secondsLeft: number,
  signal: AbortSignal,
): Promise<void> {
  const { id, kind, node_id: nodeId } = drill;
  switch (kind) {
    case "notice":
    case "rebalance":
      return injector.announce(nodeId, kind, secondsLeft, signal);
    case "capacity":
      await markShort(db, report.pool, id, new Date(drill.started_at.getTime() + drill.window_seconds * 1000));
      return injector.announce(nodeId, "notice", secondsLeft, signal);
    case "price":
      await announcePrice(db, drill, { pool: report.pool, usdPerHour: report.priceUsdPerHour });
      assess().catch((caught: unknown) => log.warn({ err: caught, drill: id }, "drill.not_assessed"));
      return;
    case "crash":
      crashAgent(sessions, drill, (why) => log.warn({ drill: id, why }, "drill.agent_not_killed"), signal);
  }
}

/** Safe when nothing is announced. */
export async function withdraw(
  { db, injector, assess, log }: StageParts,
  { id, kind, node_id: nodeId }: Row<"drills">,
  signal: AbortSignal,
): Promise<void> {
  switch (kind) {
    case "notice":
    case "rebalance":
      return injector.withdraw(nodeId, signal);
    case "capacity":
      await unmark(db, id);
      return injector.withdraw(nodeId, signal);
    case "price":
      await withdrawPrice(db, id);
      assess().catch((caught: unknown) => log.warn({ err: caught, drill: id }, "drill.not_assessed"));
      return;
    case "crash":
  }
}
