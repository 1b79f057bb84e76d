// A person ends a move that needs one. Intent first: what was chosen is on record, with the move's fence raised so that agents refuse whatever
// is still on its way from before; then each step until its node has confirmed it; a restart goes on where it was. Order is the safety: the
// copy that is given up is gone before the other one may run, so at most one instance runs at any moment.
import { fault, isFaultCode } from "@aether/contract";
import { CommandOutcome, type CommandResult } from "@aether/contract/gen/aether/v2/agent_pb";
import { faultpoint, type Logger, withDeadline } from "@aether/kit";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { sql } from "kysely";
import { z } from "zod";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { newId } from "../ids.ts";
import type { Part } from "../part.ts";
import { placeNext } from "../workload/store.ts";
import { buildCommand, newHeld, readSurroundings } from "./held.ts";
import { planSettlement, type SettlePlan } from "./settle-plan.ts";
import type { Debt, MigrationRecord, Side } from "./state.ts";
import type { Action } from "./steps/step.ts";
import { factsColumnOf, readCommands, toRecord } from "./store.ts";

export interface SettleRequest {
  readonly id: string;
  readonly keep: Side;
  readonly otherNodeIsDead: boolean;
  readonly actor: string;
}

export interface Settler extends Part {
  /** Throws MIGRATION_NOT_FOUND, MIGRATION_SETTLED, SETTLE_REFUSED. Changes nothing. */
  preview(request: SettleRequest): Promise<SettlePlan>;
  /**
   * Resolves when exactly the copy that is kept runs. Throws what `preview` does, NODE_NOT_CONNECTED before anything was changed, or what a node
   * answered; what was begun goes on by itself.
   */
  settle(request: SettleRequest): Promise<SettlePlan>;
}

const settlement = z.object({ keep: z.enum(["source", "target"]), otherNodeIsDead: z.boolean(), actor: z.string() });
type Settlement = z.infer<typeof settlement>;
const settlingColumn = z.object({ settling: settlement.optional() }).catch({});

const stepDeadlineMs = 120_000;
const sweepMs = 5_000;

export function createSettler(parts: {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: AgentSessions;
  readonly payDebts: (nodeId: string) => void;
  readonly nowMs: () => number;
  readonly log: Logger;
}): Settler {
  const { db, events, sessions, payDebts, nowMs, log } = parts;
  const life = new AbortController();
  const working = new Map<string, Promise<void>>();
  let timer: NodeJS.Timeout | undefined;

  async function read(id: string): Promise<Row<"migrations">> {
    const row = await db.selectFrom("migrations").selectAll().where("id", "=", id).executeTakeFirst();
    if (row === undefined) throw fault("MIGRATION_NOT_FOUND", `there is no migration ${JSON.stringify(id.slice(0, 60))}`, { field: "id" });
    return row;
  }

  async function preview({ id, keep, otherNodeIsDead }: SettleRequest): Promise<SettlePlan> {
    const row = await read(id);
    if (row.state !== "needs_operator") throw fault("SETTLE_REFUSED", `${id} is ${row.state.replaceAll("_", " ")}`, { field: "id" });
    const begun = settlingColumn.parse(row.facts).settling;
    if (begun !== undefined && begun.keep !== keep)
      throw fault("SETTLE_REFUSED", `${begun.actor} has begun to settle it, keeping the ${begun.keep}`, { field: "keep" });
    const plan = planSettlement(toRecord(row), await readCommands(db, id), keep, otherNodeIsDead);
    if (plan.refusal !== undefined) throw fault("SETTLE_REFUSED", plan.refusal, { field: "keep" });
    return plan;
  }

  /** Nothing is begun that could not go on: the nodes that must answer are there. */
  function requireNodes(record: MigrationRecord, { keep, otherNodeIsDead }: SettleRequest): void {
    const kept = keep === "source" ? record.sourceNodeId : record.targetNodeId;
    const other = keep === "source" ? record.targetNodeId : record.sourceNodeId;
    const mustConfirm = keep === "source" ? record.committedAtMs !== undefined : record.committedAtMs === undefined;
    if (!sessions.isConnected(kept))
      throw fault("NODE_NOT_CONNECTED", `${kept}, whose copy is to be kept, has no session; nothing was changed`);
    if (mustConfirm && !otherNodeIsDead && !sessions.isConnected(other)) {
      throw fault("NODE_NOT_CONNECTED", `${other} cannot confirm that nothing of ${record.workload} runs there; nothing was changed`, {
        hint: `Bring ${other} back; or, if it is terminated for good, say so with --other-node-is-dead.`,
      });
    }
  }

  async function settle(request: SettleRequest): Promise<SettlePlan> {
    const plan = await preview(request);
    const before = await read(request.id);
    if (settlingColumn.parse(before.facts).settling === undefined) {
      const record = toRecord(before);
      requireNodes(record, request);
      // It must still be there: destroying one copy for another that is gone would leave none.
      if (request.keep === "source") await ask(record, "source", { case: "preflight", value: {} });
      await db.transaction().execute(async (tx) => {
        const { keep, otherNodeIsDead, actor } = request;
        const taken = await tx
          .updateTable("migrations")
          .set((eb) => ({
            facts: sql`facts || ${JSON.stringify({ settling: { keep, otherNodeIsDead, actor } })}::jsonb`,
            fence: eb("fence", "+", 1),
            updated_at: new Date(nowMs()),
          }))
          .where("id", "=", request.id)
          .where("state", "=", "needs_operator")
          .where("fence", "=", before.fence)
          .returning("id")
          .executeTakeFirst();
        if (taken === undefined) throw fault("SETTLE_REFUSED", `${request.id} was settled by somebody else just now`, { field: "id" });
        await tx
          .updateTable("workloads")
          .set({ migration_id: request.id })
          .where("name", "=", before.workload)
          .where("migration_id", "is", null)
          .execute();
        await account(tx, record.id, record.fence + 1, "settle.begun", { keep, otherNodeIsDead, actor });
        await events.append(tx, {
          type: "migration.settling",
          subject: `migration/${request.id}`,
          message: `${actor} settles the move of ${before.workload}: the copy on ${keep === "source" ? before.source_node_id : before.target_node_id} is kept`,
          data: { workload: before.workload, keep },
          traceId: before.trace_id,
        });
      });
    }
    await faultpoint("core.settle.intended");
    await work(request.id);
    return plan;
  }

  function work(id: string): Promise<void> {
    const done = working.get(id) ?? carryOut(id).finally(() => working.delete(id));
    working.set(id, done);
    return done;
  }

  async function carryOut(id: string): Promise<void> {
    const row = await read(id);
    const chosen = settlingColumn.parse(row.facts).settling;
    if (row.state !== "needs_operator" || chosen === undefined) return;
    const record = toRecord(row);
    const isCommitted = record.committedAtMs !== undefined;
    if (chosen.keep === "target") {
      if (!isCommitted) await giveUp(record, "source", record.epochBefore, chosen);
      await place(record, record.targetNodeId, record.epochBefore + 1);
      await faultpoint("core.settle.placed");
      await resumeTarget(record);
      return finish(record, "done", ["release"]);
    }
    if (isCommitted) await giveUp(record, "target", record.epochBefore + 1, chosen);
    const epoch = isCommitted ? await place(record, record.sourceNodeId, record.epochBefore + 2) : record.epochBefore;
    await faultpoint("core.settle.placed");
    await ask(record, "source", { case: "thaw", value: { newEpoch: BigInt(epoch) } }, epoch);
    return finish(record, "rolled_back", isCommitted && !chosen.otherNodeIsDead ? [] : ["abort"]);
  }

  /** The copy that is not kept is gone before this returns; or its node is, by the word of a person. */
  async function giveUp(record: MigrationRecord, side: Side, epoch: number, chosen: Settlement): Promise<void> {
    const node = side === "source" ? record.sourceNodeId : record.targetNodeId;
    if (chosen.otherNodeIsDead && !sessions.isConnected(node)) return;
    await ask(record, side, { case: "removeWorkload", value: {} }, epoch);
  }

  /** The active placement is (node, epoch) after this; it may have been made before a restart. */
  async function place(record: MigrationRecord, nodeId: string, epoch: number): Promise<number> {
    return db.transaction().execute(async (tx) => {
      const active = await tx
        .selectFrom("placements")
        .select(["node_id", "epoch"])
        .where("workload", "=", record.workload)
        .where("is_active", "=", true)
        .executeTakeFirst();
      if (active !== undefined && active.node_id === nodeId && Number(active.epoch) >= epoch) return Number(active.epoch);
      return placeNext(tx, record.workload, nodeId, `migration/${record.id}`, epoch);
    });
  }

  async function resumeTarget(record: MigrationRecord): Promise<void> {
    const commands = await readCommands(db, record.id);
    if (commands.some((each) => each.step === "resume" && each.outcome === "ok")) return;
    await ask(record, "target", { case: "resume", value: { newEpoch: BigInt(record.epochBefore + 1) } }, record.epochBefore + 1);
  }

  async function ask(record: MigrationRecord, side: Side, action: Action, epoch = record.epochBefore): Promise<CommandResult> {
    const row = await read(record.id);
    const node = side === "source" ? record.sourceNodeId : record.targetNodeId;
    const pending = await db
      .selectFrom("commands")
      .select("id")
      .where("migration_id", "=", record.id)
      .where("node_id", "=", node)
      .where("action", "=", action.case ?? "")
      .where("outcome", "is", null)
      .where("created_at", ">", row.ended_at ?? new Date(0))
      .orderBy("created_at", "desc")
      .executeTakeFirst();
    const held = { ...newHeld(toRecord(row), []), around: await readSurroundings(db, record, nowMs()) };
    const base = buildCommand(held, pending?.id ?? newId("cmd"), "thaw", nowMs());
    const { id, workload, migrationId, fence, traceparent } = base;
    const validFor = durationFromMs(stepDeadlineMs);
    const command = { id, workload, epoch: BigInt(epoch), migrationId, fence, traceparent, validFor, action };
    const what = `${action.case} of ${record.workload} on ${node}`;
    const result = await withDeadline(what, stepDeadlineMs, (signal) => sessions.send(node, command, signal), life.signal);
    if (result.outcome === CommandOutcome.OK) return result;
    const code = result.error?.code ?? "";
    throw fault(isFaultCode(code) ? code : "UNAVAILABLE", `${what}: ${result.error?.message ?? CommandOutcome[result.outcome]}`);
  }

  async function finish(record: MigrationRecord, state: "done" | "rolled_back", debts: Debt[]): Promise<void> {
    const kept = state === "done" ? record.targetNodeId : record.sourceNodeId;
    await db.transaction().execute(async (tx) => {
      const row = await tx
        .updateTable("migrations")
        .set({ state, facts: factsColumnOf({ ...record, debts }), updated_at: new Date(nowMs()), epoch_after: epochAfter(record, state) })
        .where("id", "=", record.id)
        .where("state", "=", "needs_operator")
        .returning(["id", "fence"])
        .executeTakeFirst();
      if (row === undefined) return;
      await tx
        .updateTable("workloads")
        .set({ state: "running", reason: "", migration_id: null })
        .where("name", "=", record.workload)
        .where("migration_id", "=", record.id)
        .execute();
      await account(tx, record.id, Number(row.fence), "settle.done", { state });
      await events.append(tx, {
        type: "migration.settled",
        subject: `migration/${record.id}`,
        message: `${record.workload} runs on ${kept}; the move is settled`,
        data: { workload: record.workload, state },
        traceId: record.traceId,
      });
    });
    log.info({ migration: record.id, workload: record.workload, state }, "migration.settled");
    for (const node of [record.sourceNodeId, record.targetNodeId]) if (sessions.isConnected(node)) payDebts(node);
  }

  async function sweep(): Promise<void> {
    const rows = await db
      .selectFrom("migrations")
      .select("id")
      .where("state", "=", "needs_operator")
      .where(sql<boolean>`facts -> 'settling' is not null`)
      .execute();
    for (const { id } of rows) {
      work(id).catch((caught: unknown) => {
        if (!life.signal.aborted) log.warn({ err: caught, migration: id }, "migration.settle.waits");
      });
    }
  }

  return {
    preview,
    settle,
    async start(signal) {
      signal.addEventListener("abort", () => life.abort(signal.reason), { once: true });
      await sweep();
      timer = setInterval(() => {
        sweep().catch((caught: unknown) => {
          if (!life.signal.aborted) log.error({ err: caught }, "migration.settle.sweep_failed");
        });
      }, sweepMs);
    },
    async stop() {
      clearInterval(timer);
      life.abort(fault("CANCELLED", "the control plane stops"));
      await Promise.allSettled(working.values());
    },
  };
}

const epochAfter = (record: MigrationRecord, state: "done" | "rolled_back"): number | null =>
  state === "done" ? record.epochBefore + 1 : record.committedAtMs === undefined ? null : record.epochBefore + 1;

async function account(tx: Db, id: string, fence: number, type: string, data: Record<string, string | boolean>): Promise<void> {
  await tx
    .insertInto("migration_events")
    .values({ migration_id: id, fence, type, data: JSON.stringify(data) })
    .execute();
}
