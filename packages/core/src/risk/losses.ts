// Instances that the market really took: a notice that was neither withdrawn nor a drill's, or a node that fell silent without one and has not been
// heard since. A notice and the silence that follows it are one loss; a node that an operator had cordoned, or that a drill is on, is none.
import type { Kysely } from "kysely";
import type { Database } from "../db/schema.ts";

export interface Loss {
  readonly nodeId: string;
  readonly atMs: number;
}

/** A node falls silent at most so long after its notice or its drill; a later silence is another loss. */
const sameLossMs = 600_000;

/** Losses since a time, the oldest first. */
export async function readLosses(db: Kysely<Database>, sinceMs: number): Promise<Loss[]> {
  // What began a little before the time asked for may explain a silence after it.
  const from = new Date(sinceMs - sameLossMs);
  const [rows, drills] = await Promise.all([
    db
      .selectFrom("signals")
      .leftJoin("nodes", "nodes.id", "signals.node_id")
      .select(["signals.id", "signals.node_id", "signals.kind", "signals.action", "signals.received_at"])
      .select(["nodes.lost_at", "nodes.is_cordoned"])
      .where("signals.kind", "in", ["notice", "withdrawn", "node_lost"])
      .where("signals.received_at", ">", from)
      .orderBy("signals.received_at")
      .orderBy("signals.id")
      .execute(),
    db
      .selectFrom("drills")
      .select(["node_id", "signal_id", "started_at", "ended_at"])
      .where(({ or, eb }) => or([eb("ended_at", "is", null), eb("ended_at", ">", from)]))
      .execute(),
  ]);
  const lastSilence = new Map(rows.flatMap((row) => (row.kind === "node_lost" ? [[row.node_id, row.id] as const] : [])));
  const losses: Loss[] = [];
  const withdrawn = new Set<Loss>();
  const announced = new Map<string, Loss>();
  for (const row of rows) {
    const loss: Loss = { nodeId: row.node_id, atMs: row.received_at.getTime() };
    const last = announced.get(row.node_id);
    if (row.kind === "notice") {
      announced.set(row.node_id, loss);
      if (!drills.some(({ signal_id: id }) => id === row.id)) losses.push(loss);
    } else if (row.kind === "withdrawn") {
      // A recommendation that is withdrawn says nothing about a notice.
      if (last === undefined || row.action === "rebalance") continue;
      withdrawn.add(last);
      announced.delete(row.node_id);
    } else {
      const isGone = row.lost_at !== null && row.is_cordoned !== true && lastSilence.get(row.node_id) === row.id;
      const wasAnnounced = last !== undefined && loss.atMs - last.atMs <= sameLossMs;
      const isRehearsed = drills.some(
        (drill) =>
          drill.node_id === row.node_id &&
          drill.started_at.getTime() <= loss.atMs &&
          (drill.ended_at === null || loss.atMs - drill.ended_at.getTime() <= sameLossMs),
      );
      if (isGone && !wasAnnounced && !isRehearsed) losses.push(loss);
    }
  }
  return losses.filter((loss) => loss.atMs > sinceMs && !withdrawn.has(loss));
}
