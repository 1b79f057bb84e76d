// What an ended move still owes to a node that was away: the target's half of a rolled back move is destroyed, a source is thawed or its
// frozen copy released, as soon as the node is back. A debt is struck off only on the node's own word.

import { Fault, fault } from "@aether/contract";
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { type Logger, withDeadline } from "@aether/kit";
import { sql } from "kysely";
import type { Db } from "../db/database.ts";
import { createGroup } from "../db/group.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { newId } from "../ids.ts";
import { buildCommand, newHeld, readSurroundings } from "./held.ts";
import { type Debt, type MigrationRecord, nodeOf } from "./state.ts";
import { steps } from "./steps/index.ts";
import { factsColumnOf, readCommands, toRecord } from "./store.ts";

export interface Debts {
  /** Pays in the background what is owed to this node. Safe to call often. */
  pay(nodeId: string): void;
  /** Resolves when nothing is being paid. */
  settled(): Promise<void>;
}

export function createDebts(options: {
  readonly db: Db;
  readonly sessions: AgentSessions;
  readonly log: Logger;
  readonly nowMs: () => number;
}): Debts {
  const { db, sessions, log, nowMs } = options;
  const paying = new Map<string, Promise<void>>();
  const stopped = new AbortController();

  /** A fleet that comes back asks together. The condition is that of the index `migrations_owing`. */
  const owedTo = createGroup(async (nodeIds: readonly string[]) => {
    const rows = await db
      .selectFrom("migrations")
      .selectAll()
      .where("ended_at", "is not", null)
      .where(sql<boolean>`jsonb_array_length(coalesce(facts->'debts', '[]'::jsonb)) > 0`)
      .where((eb) => eb.or([eb("source_node_id", "in", nodeIds), eb("target_node_id", "in", nodeIds)]))
      .orderBy("created_at")
      .execute();
    return nodeIds.map((id) => rows.filter((row) => row.source_node_id === id || row.target_node_id === id));
  });

  async function payNode(nodeId: string): Promise<void> {
    for (const row of await owedTo(nodeId)) {
      let record = toRecord(row);
      for (const debt of record.debts) {
        if (nodeOf(record, steps[debt].side) === nodeId) record = await payOne(record, debt);
      }
    }
  }

  async function payOne(record: MigrationRecord, debt: Debt): Promise<MigrationRecord> {
    const nodeId = nodeOf(record, steps[debt].side);
    const surroundings = await readSurroundings(db, record, nowMs());
    // A thaw runs the workload: only while no other placement exists. Where one does, the node removes its stale copy on its own.
    const isVoid = debt === "thaw" && !surroundings.isPlaced;
    if (!isVoid) {
      const commands = await readCommands(db, record.id);
      const pending = commands.findLast((command) => command.step === debt && command.outcome === undefined);
      const held = { ...newHeld(record, commands), around: surroundings };
      const command = buildCommand(held, pending?.id ?? newId("cmd"), debt, nowMs());
      const what = `paying ${debt} of ${record.id} to ${nodeId}`;
      const result = await withDeadline(what, steps[debt].deadlineMs, (signal) => sessions.send(nodeId, command, signal), stopped.signal);
      // REFUSED: the node knows of something newer, so this is not its to do any more.
      if (result.outcome !== CommandOutcome.OK && result.outcome !== CommandOutcome.REFUSED) {
        log.warn({ migration: record.id, debt, node: nodeId, error: result.error?.message }, "migration.debt.unpaid");
        return record;
      }
    }
    const paid = { ...record, debts: record.debts.filter((each) => each !== debt) };
    await db.transaction().execute(async (tx) => {
      // A person may be settling it just now: then the debts are theirs.
      const changed = await tx
        .updateTable("migrations")
        .set({
          facts: factsColumnOf(paid),
          updated_at: new Date(nowMs()),
          ...(record.state === "needs_operator" && debt === "thaw" && !isVoid ? { state: "rolled_back" as const } : {}),
        })
        .where("id", "=", record.id)
        .where("fence", "=", record.fence)
        .returning("id")
        .executeTakeFirst();
      if (changed === undefined) return;
      await tx
        .insertInto("migration_events")
        .values({
          migration_id: record.id,
          fence: record.fence,
          type: "debt.paid",
          step: debt,
          data: JSON.stringify({ node: nodeId, isVoid }),
        })
        .execute();
      if (debt === "thaw" && !isVoid) {
        await tx
          .updateTable("workloads")
          .set({ state: "running", reason: "" })
          .where("name", "=", record.workload)
          .where("state", "=", "needs_operator")
          .where("migration_id", "is", null)
          .execute();
      }
    });
    log.info({ migration: record.id, debt, node: nodeId }, "migration.debt.paid");
    return paid;
  }

  return {
    pay(nodeId) {
      if (paying.has(nodeId) || stopped.signal.aborted) return;
      paying.set(
        nodeId,
        payNode(nodeId)
          .catch((caught: unknown) => {
            if (stopped.signal.aborted || Fault.from(caught).code === "NODE_NOT_CONNECTED") return;
            log.warn({ err: caught, node: nodeId }, "migration.debt.unpaid");
          })
          .finally(() => paying.delete(nodeId)),
      );
    },
    async settled() {
      stopped.abort(fault("CANCELLED", "the control plane stops"));
      await Promise.all(paying.values());
    },
  };
}
