// Looks after each assessment whether a move that nobody has asked for is expected to pay, and then says so as a signal: decided by the same
// rules as every other, with its guard rails, and kept. Not more often than the policy rests, so that a move that cannot be made is not
// asked for again and again.
import type { Logger } from "@aether/kit";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";
import { readPlaced } from "../decision/view.ts";
import type { SignalIntake } from "../fleet/signal-intake.ts";
import { readNodeViews } from "../migration/fleet-view.ts";
import type { Weigh, Weighing } from "./weigh.ts";

export interface RiskWatchOptions {
  readonly db: Db;
  readonly signals: Pick<SignalIntake, "riskFound">;
  readonly tell: (signal: Row<"signals">) => void;
  readonly isConnected: (nodeId: string) => boolean;
  readonly weigh: Weigh;
  readonly weighing: Weighing;
  readonly nowMs: () => number;
  readonly log: Logger;
}

/** Answers the nodes for which it found a move that pays. */
export function createRiskWatch(options: RiskWatchOptions): () => Promise<readonly string[]> {
  const { db, signals, tell, isConnected, weigh, weighing, nowMs, log } = options;
  return async () => {
    const nodes = await readNodeViews(db, isConnected);
    const asked = await db
      .selectFrom("signals")
      .select("node_id")
      .where("kind", "=", "risk")
      .where("received_at", ">", new Date(nowMs() - Math.max(60, weighing.policy.restSeconds) * 1000))
      .execute();
    const recently = new Set(asked.map((row) => row.node_id));
    const open = nodes.filter((node) => node.isConnected && node.announced === undefined && !recently.has(node.id)).map(({ id }) => id);
    if (nodes.length < 2 || open.length === 0) return [];
    const { byNode } = await readPlaced(db, open);
    const movable = new Map(
      [...byNode]
        .map(([id, there]) => [id, there.filter((each) => each.state === "running" && each.migration === undefined)] as const)
        .filter(([, there]) => there.length > 0),
    );
    if (movable.size === 0) return [];
    const weighed = await weigh(db, { workloads: movable, nodes }, nowMs());
    const found: string[] = [];
    for (const [nodeId, there] of movable) {
      const pays = there.map(({ name }) => weighed.get(name)).find((each) => each?.action === "migrate");
      if (pays === undefined) continue;
      found.push(nodeId);
      const signal = await signals.riskFound(nodeId, pays.reason);
      log.info({ node: nodeId, signal: signal.id, reason: pays.reason }, "risk.move_pays");
      tell(signal);
    }
    return found;
  };
}
