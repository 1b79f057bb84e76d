// What the control plane knows of its nodes, kept up to date from their sessions: facts, heartbeats, and the comparison of what a node has
// with what is on record.

import { fault } from "@aether/contract";
import { CommandSchema, type Hello } from "@aether/contract/gen/aether/v2/agent_pb";
import { type NodeFacts, NodeFactsSchema, type NodeUsage, NodeUsageSchema } from "@aether/contract/gen/aether/v2/node_pb";
import type { Logger } from "@aether/kit";
import { toJson } from "@bufbuild/protobuf";
import { type Kysely, sql } from "kysely";
import type { Db } from "../db/database.ts";
import { createGroup } from "../db/group.ts";
import { fromColumn } from "../db/proto.ts";
import type { Database } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import { newId } from "../ids.ts";
import { compare, type OnRecord, type Reported } from "./compare.ts";
import type { FleetMemory } from "./gateway.ts";
import type { AgentSessions } from "./sessions.ts";
import type { WorkloadReports } from "./workload-reports.ts";

export interface Heard {
  readonly atMs: number;
  readonly usage: NodeUsage | undefined;
  readonly clockOffsetMs: number | undefined;
}

export interface Memory extends FleetMemory {
  /** Heartbeats since the last call, for the rows. */
  takeHeard(): ReadonlyMap<string, Heard>;
  /** The last known usage. */
  usage(nodeId: string): NodeUsage | undefined;
}

export interface MemoryOptions {
  readonly db: Db;
  readonly events: Events;
  readonly reports: WorkloadReports;
  /** Known after the gateway is made. */
  readonly sessions: () => AgentSessions;
  readonly nowMs: () => number;
  readonly log: Logger;
}

interface Greeting {
  readonly nodeId: string;
  readonly facts: NodeFacts | undefined;
  readonly clockOffsetMs: number | undefined;
}

/** Sessions that begin together. */
const hellosAtOnce = 100;
/** Removing a stale copy kills a process and unmounts; it is repeated at the next session. */
const removeDeadlineMs = 60_000;

export function createMemory({ db, events, reports, sessions, nowMs, log }: MemoryOptions): Memory {
  let heard = new Map<string, Heard>();
  const usages = new Map<string, NodeUsage>();

  /** What is on record of the workloads that a node has or should have. */
  const recordsFor = createGroup(async (asked: readonly { readonly nodeId: string; readonly reported: readonly Reported[] }[]) => {
    const names = [...new Set(asked.flatMap(({ reported }) => reported.map(({ name }) => name)))];
    const nodeIds = asked.map(({ nodeId }) => nodeId);
    const rows = await db
      .selectFrom("workloads")
      .innerJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
      .select(["workloads.name", "workloads.state", "workloads.migration_id", "placements.node_id", "placements.epoch"])
      .where((eb) => eb.or([eb("placements.node_id", "in", nodeIds), ...(names.length > 0 ? [eb("workloads.name", "in", names)] : [])]))
      .execute();
    return asked.map(({ nodeId, reported }) => {
      const own = new Set(reported.map(({ name }) => name));
      return new Map(
        rows
          .filter((row) => row.node_id === nodeId || own.has(row.name))
          .map((row): [string, OnRecord] => [
            row.name,
            { name: row.name, nodeId: row.node_id, epoch: row.epoch, state: row.state, migrationId: row.migration_id ?? undefined },
          ]),
      );
    });
  }, hellosAtOnce);

  async function knownMigrations(reported: readonly Reported[]): Promise<Set<string>> {
    const ids = reported.map(({ migrationId }) => migrationId).filter((id) => id !== "");
    if (ids.length === 0) return new Set();
    const rows = await db.selectFrom("migrations").select("id").where("id", "in", ids).execute();
    return new Set(rows.map(({ id }) => id));
  }

  /** A control plane that has started again hears its whole fleet within seconds. False: the node is not registered any more. */
  const keepHello = createGroup(async (hellos: readonly Greeting[]) => {
    const present = await db.transaction().execute((tx) => keepHellos(tx, hellos));
    return hellos.map(({ nodeId }) => present.has(nodeId));
  }, hellosAtOnce);

  async function keepHellos(tx: Kysely<Database>, hellos: readonly Greeting[]): Promise<Set<string>> {
    const rows = await tx
      .selectFrom("nodes")
      .select(["id", "facts", "lost_at"])
      .where(
        "id",
        "in",
        hellos.map(({ nodeId }) => nodeId),
      )
      .execute();
    const before = new Map(rows.map((row) => [row.id, row]));
    const heard = hellos.flatMap(({ nodeId, facts, clockOffsetMs }) => {
      const row = before.get(nodeId);
      // An announcement was for the instance that it was made to: another one under the same name is not going.
      const isAnother = row !== undefined && facts !== undefined && isOtherMachine(fromColumn(NodeFactsSchema, row.facts), facts);
      const now = facts === undefined ? null : toJson(NodeFactsSchema, facts);
      return row === undefined ? [] : [{ id: nodeId, facts: now, offset_ms: clockOffsetMs ?? null, another: isAnother }];
    });
    // Facts that are the same are not written: the rows are large. A node that is heard is not dead, whatever anybody said.
    const texts = JSON.stringify(heard);
    await sql`update nodes set seen_at = ${new Date(nowMs())}, lost_at = null, declared_dead_at = null, clock_offset_ms = heard.offset_ms,
        interruption_at = case when heard.another then null else interruption_at end
      from jsonb_to_recordset(${texts}::jsonb) as heard(id text, offset_ms double precision, another boolean)
      where nodes.id = heard.id`.execute(tx);
    await sql`update nodes set facts = heard.facts from jsonb_to_recordset(${texts}::jsonb) as heard(id text, facts jsonb)
      where nodes.id = heard.id and heard.facts is not null and nodes.facts <> heard.facts`.execute(tx);
    await events.append(
      tx,
      ...heard.map(({ id }) => {
        const isBack = before.get(id)?.lost_at != null;
        return {
          type: isBack ? "node.found" : "node.connected",
          subject: `node/${id}`,
          message: isBack ? `${id} is heard again` : `${id} is connected`,
        };
      }),
    );
    return new Set(before.keys());
  }

  const placementsOf = createGroup(async (nodeIds: readonly string[]) => {
    const rows = await db
      .selectFrom("placements")
      .innerJoin("workloads", "workloads.name", "placements.workload")
      .select(["placements.workload", "placements.epoch", "placements.node_id"])
      .where("placements.node_id", "in", nodeIds)
      .where("placements.is_active", "=", true)
      .execute();
    const byNode = new Map<string, { workload: string; epoch: number }[]>(nodeIds.map((id) => [id, []]));
    for (const { node_id, workload, epoch } of rows) byNode.get(node_id)?.push({ workload, epoch });
    return nodeIds.map((id) => byNode.get(id) ?? []);
  }, hellosAtOnce);

  async function removeStale(nodeId: string, name: string, epoch: number, reason: string): Promise<void> {
    await events.append(db, {
      type: "workload.stale_copy",
      subject: `workload/${name}`,
      message: `${nodeId} has a copy of ${name} that must not run: ${reason}; it is removed`,
      data: { nodeId, epoch },
    });
    const command = { id: newId("cmd"), workload: name, epoch: BigInt(epoch), action: { case: "removeWorkload" as const, value: {} } };
    const result = await sessions().send(nodeId, command, AbortSignal.timeout(removeDeadlineMs));
    if (result.error) log.warn({ nodeId, workload: name, problem: result.error.code }, "a stale copy was not removed");
  }

  async function markMissing(nodeId: string, name: string, reason: string): Promise<void> {
    await db.transaction().execute(async (tx) => {
      const changed = await tx
        .updateTable("workloads")
        .set({ state: "failed", reason, health: "unknown" })
        .where("name", "=", name)
        .where("migration_id", "is", null)
        .where("state", "in", ["running", "lost"])
        .returning("name")
        .executeTakeFirst();
      if (changed === undefined) return;
      await events.append(tx, {
        type: "workload.failed",
        subject: `workload/${name}`,
        message: `${name} failed: ${reason}`,
        data: { nodeId },
      });
    });
  }

  return {
    async hello(nodeId, hello, clockOffsetMs) {
      const isPresent = await keepHello({ nodeId, facts: hello.facts, clockOffsetMs });
      if (!isPresent) throw fault("NODE_NOT_FOUND", `${nodeId} is not registered any more`);
      reports.forget(nodeId);
      await reports.take(nodeId, hello.workloads);
      return placementsOf(nodeId);
    },
    async late(nodeId, commandId) {
      const start = await db
        .selectFrom("commands")
        .leftJoin("workloads", "workloads.name", "commands.workload")
        .leftJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
        .select([
          "commands.workload",
          "commands.request",
          "workloads.state",
          "workloads.migration_id",
          "placements.epoch",
          "placements.node_id",
        ])
        .where("commands.id", "=", commandId)
        .where("commands.node_id", "=", nodeId)
        .where("commands.action", "in", ["startWorkload", "restoreSnapshot"])
        .executeTakeFirst();
      if (start === undefined || start.node_id === nodeId || start.migration_id !== null || start.state === "needs_operator") return;
      const isPlaced = start.node_id !== null;
      const epoch = isPlaced ? Number(start.epoch) : Number(fromColumn(CommandSchema, start.request).epoch);
      const reason = isPlaced ? `it is placed on ${start.node_id} in epoch ${epoch}` : "no workload of this name is on record";
      await removeStale(nodeId, start.workload, epoch, `${reason}, and was started there too late`);
    },
    async settle(nodeId, hello: Hello) {
      const reported = hello.workloads.map(({ name, epoch, phase, migrationId }) => ({ name, epoch: Number(epoch), phase, migrationId }));
      const differences = compare(nodeId, reported, await recordsFor({ nodeId, reported }), await knownMigrations(reported));
      await Promise.all(
        differences.map((difference) =>
          difference.kind === "stale"
            ? removeStale(nodeId, difference.name, difference.epoch, difference.reason)
            : markMissing(nodeId, difference.name, difference.reason),
        ),
      );
    },
    heard(nodeId, usage, clockOffsetMs) {
      heard.set(nodeId, { atMs: nowMs(), usage, clockOffsetMs });
      if (usage) usages.set(nodeId, usage);
    },
    workloads: (nodeId, statuses) => reports.take(nodeId, statuses),
    takeHeard() {
      const taken = heard;
      heard = new Map();
      return taken;
    },
    usage: (nodeId) => usages.get(nodeId),
  };
}

/** By the cloud's id of the instance where both have one, else by the boot. */
function isOtherMachine(before: NodeFacts, now: NodeFacts): boolean {
  const ids = [before.cloud?.instanceId ?? "", now.cloud?.instanceId ?? ""];
  if (ids.every((id) => id !== "")) return ids[0] !== ids[1];
  return before.bootId !== "" && now.bootId !== "" && before.bootId !== now.bootId;
}

/** Nodes in one statement: others have their turn between two. */
const heardAtOnce = 500;

/** Heartbeats into rows; called every few seconds, because each second would be a write without a reader. */
export async function writeHeard(db: Db, heard: ReadonlyMap<string, Heard>): Promise<void> {
  const rows = [...heard].map(([id, { atMs, usage, clockOffsetMs }]) => ({
    id,
    seen_at: new Date(atMs),
    clock_offset_ms: clockOffsetMs ?? null,
    usage: usage === undefined ? null : toJson(NodeUsageSchema, usage),
  }));
  for (let from = 0; from < rows.length; from += heardAtOnce) {
    await sql`update nodes set seen_at = heard.seen_at, clock_offset_ms = heard.clock_offset_ms, usage = coalesce(heard.usage, nodes.usage)
      from jsonb_to_recordset(${JSON.stringify(rows.slice(from, from + heardAtOnce))}::jsonb)
        as heard(id text, seen_at timestamptz, clock_offset_ms double precision, usage jsonb)
      where nodes.id = heard.id`.execute(db);
  }
}
