// What the control plane knows of its nodes, kept up to date from their sessions: facts, heartbeats, and the comparison of what a node has
// with what is on record.

import { fault } from "@aether/contract";
import type { Hello } from "@aether/contract/gen/aether/v2/agent_pb";
import { type NodeFacts, type NodeUsage, NodeUsageSchema } from "@aether/contract/gen/aether/v2/node_pb";
import type { Logger } from "@aether/kit";
import type { Db } from "../db/database.ts";
import { toColumn } from "../db/proto.ts";
import type { Events } from "../events/events.ts";
import { newId } from "../ids.ts";
import { compare, type OnRecord, type Reported } from "./compare.ts";
import type { FleetMemory } from "./gateway.ts";
import { factsOf, saveFacts } from "./node-store.ts";
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

/** Removing a stale copy kills a process and unmounts; it is repeated at the next session. */
const removeDeadlineMs = 60_000;

export function createMemory({ db, events, reports, sessions, nowMs, log }: MemoryOptions): Memory {
  let heard = new Map<string, Heard>();
  const usages = new Map<string, NodeUsage>();

  async function recordsFor(nodeId: string, reported: readonly Reported[]): Promise<Map<string, OnRecord>> {
    const names = reported.map(({ name }) => name);
    const rows = await db
      .selectFrom("workloads")
      .innerJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
      .select(["workloads.name", "workloads.state", "workloads.migration_id", "placements.node_id", "placements.epoch"])
      .where((eb) => eb.or([eb("placements.node_id", "=", nodeId), ...(names.length > 0 ? [eb("workloads.name", "in", names)] : [])]))
      .execute();
    return new Map(
      rows.map((row) => [
        row.name,
        { name: row.name, nodeId: row.node_id, epoch: row.epoch, state: row.state, migrationId: row.migration_id ?? undefined },
      ]),
    );
  }

  async function knownMigrations(reported: readonly Reported[]): Promise<Set<string>> {
    const ids = reported.map(({ migrationId }) => migrationId).filter((id) => id !== "");
    if (ids.length === 0) return new Set();
    const rows = await db.selectFrom("migrations").select("id").where("id", "in", ids).execute();
    return new Set(rows.map(({ id }) => id));
  }

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
      const row = await db.selectFrom("nodes").selectAll().where("id", "=", nodeId).executeTakeFirst();
      if (row === undefined) throw fault("NODE_NOT_FOUND", `${nodeId} is not registered any more`);
      await db.transaction().execute(async (tx) => {
        if (hello.facts) await saveFacts(tx, nodeId, hello.facts);
        // An announcement was for the instance that it was made to: another one under the same name is not going.
        const isAnother = hello.facts !== undefined && isOtherMachine(factsOf(row), hello.facts);
        await tx
          .updateTable("nodes")
          .set({
            seen_at: new Date(nowMs()),
            lost_at: null,
            declared_dead_at: null,
            clock_offset_ms: clockOffsetMs ?? null,
            ...(isAnother ? { interruption_at: null } : {}),
          })
          .where("id", "=", nodeId)
          .execute();
        const isBack = row.lost_at !== null;
        await events.append(tx, {
          type: isBack ? "node.found" : "node.connected",
          subject: `node/${nodeId}`,
          message: isBack ? `${nodeId} is heard again` : `${nodeId} is connected`,
        });
      });
      reports.forget(nodeId);
      await reports.take(nodeId, hello.workloads);
      const placements = await db
        .selectFrom("placements")
        .innerJoin("workloads", "workloads.name", "placements.workload")
        .select(["placements.workload", "placements.epoch"])
        .where("placements.node_id", "=", nodeId)
        .where("placements.is_active", "=", true)
        .execute();
      return placements;
    },
    async settle(nodeId, hello: Hello) {
      const reported = hello.workloads.map(({ name, epoch, phase, migrationId }) => ({ name, epoch: Number(epoch), phase, migrationId }));
      const differences = compare(nodeId, reported, await recordsFor(nodeId, reported), await knownMigrations(reported));
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

/** Heartbeats into rows; called every few seconds, because each second would be a write without a reader. */
export async function writeHeard(db: Db, heard: ReadonlyMap<string, Heard>): Promise<void> {
  for (const [id, { atMs, usage, clockOffsetMs }] of heard) {
    await db
      .updateTable("nodes")
      .set({
        seen_at: new Date(atMs),
        clock_offset_ms: clockOffsetMs ?? null,
        ...(usage === undefined ? {} : { usage: toColumn(NodeUsageSchema, usage) }),
      })
      .where("id", "=", id)
      .execute();
  }
}
