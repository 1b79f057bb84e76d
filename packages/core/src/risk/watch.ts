// Looks after each assessment whether a move that nobody has asked for is expected to pay, and then says so as a signal: decided by the same
// rules as every other, with its guard rails, and kept. Not more often than the policy rests, so that a move that cannot be made is not
// asked for again and again. Where the risk has risen and a move does not pay all the same, that is a decision too: told when the risk reaches a
// level, and once a day while it stays there. A node that begins there (new instances are taken more often) has not risen.
import type { Logger } from "@aether/kit";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";
import { readPlaced } from "../decision/view.ts";
import type { SignalIntake } from "../fleet/signal-intake.ts";
import { readNodeViews } from "../migration/fleet-view.ts";
import { elevatedFrom, levelOf, type RiskLevel } from "./level.ts";
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

const dayMs = 86_400_000;

/** Answers the nodes for which it found something to decide. */
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
    const levels = await readLevels(db, new Date(nowMs() - dayMs));
    const open = nodes.filter((node) => node.isConnected && node.announced === undefined && !recently.has(node.id)).map(({ id }) => id);
    if (open.length === 0) return [];
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
      const answers = there.flatMap(({ name }) => weighed.get(name) ?? []);
      const pays = answers.find((each) => each.action === "migrate");
      const { now = "low", told } = levels.get(nodeId) ?? {};
      const why = pays ?? (now !== "low" && now !== told ? answers[0] : undefined);
      if (why === undefined) continue;
      found.push(nodeId);
      const signal = await signals.riskFound(nodeId, { level: now, reason: why.reason, isPaying: pays !== undefined });
      log.info({ node: nodeId, signal: signal.id, level: now, reason: why.reason }, pays ? "risk.move_pays" : "risk.move_does_not_pay");
      tell(signal);
    }
    return found;
  };
}

/** By node: the level that its risk has risen to, and what its last risk signal since then has told. */
async function readLevels(db: Db, since: Date): Promise<Map<string, { readonly now: RiskLevel; readonly told: string }>> {
  const rows = await db
    .selectFrom("assessments")
    .select(["subject", "probability"])
    .where("subject", "like", "node/%")
    .where("probability", ">=", elevatedFrom)
    .execute();
  if (rows.length === 0) return new Map();
  const calm = await db
    .selectFrom("assessment_history")
    .select("subject")
    .distinct()
    .where(
      "subject",
      "in",
      rows.map(({ subject }) => subject),
    )
    .where("at", ">", since)
    .where("probability", "<", elevatedFrom)
    .execute();
  const wasLow = new Set(calm.map(({ subject }) => subject));
  const told = await db
    .selectFrom("signals")
    .distinctOn("node_id")
    .select(["node_id", "action"])
    .where("kind", "=", "risk")
    .where("received_at", ">", since)
    .orderBy("node_id")
    .orderBy("received_at", "desc")
    .execute();
  const last = new Map(told.map((row) => [row.node_id, row.action]));
  return new Map(
    rows.map(({ subject, probability }) => {
      const nodeId = subject.slice("node/".length);
      const level = levelOf(probability, undefined);
      const now = level === "critical" || wasLow.has(subject) ? level : "low";
      return [nodeId, { now, told: last.get(nodeId) ?? "" }];
    }),
  );
}
