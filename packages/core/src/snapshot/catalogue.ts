// The catalogue beside making and restoring: what is pinned, what was verified, and what retention lets go.
import { fault, isFaultCode } from "@aether/contract";
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { createPause, type Logger } from "@aether/kit";
import type { Kysely } from "kysely";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { Database, Row } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { newId } from "../ids.ts";
import { type Judged, judge, type Kept, type RetentionPolicy } from "./retention.ts";

export interface CatalogueOptions {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: AgentSessions;
  /** Asked at each look. */
  readonly policy: () => RetentionPolicy;
  /** Deletes one for good, and says why. */
  readonly remove: (id: string, signal: AbortSignal, retired: string) => Promise<void>;
  readonly markCorrupt: (row: Row<"snapshots">, why: string) => Promise<void>;
  readonly nowMs: () => number;
  readonly log: Logger;
}

export interface Catalogue {
  pin(row: Row<"snapshots">, reason: string, actor: string): Promise<void>;
  unpin(row: Row<"snapshots">, actor: string): Promise<void>;
  /** A node reads every byte. Throws SNAPSHOT_CORRUPT (and marks it), SNAPSHOT_NOT_FOUND, NODE_NOT_CONNECTED. */
  verify(row: Row<"snapshots">, signal: AbortSignal): Promise<void>;
  /** Why each is kept, or when it goes. */
  judgements(): Promise<ReadonlyMap<string, Judged>>;
  /** Lets go what may go, every ten minutes and when it is woken. */
  run(signal: AbortSignal): Promise<void>;
  wake(): void;
}

const enforceEveryMs = 600_000;
const verifyDeadlineMs = 600_000;

/** Throws SNAPSHOT_KEPT while it is pinned, or a workload is restored from it. */
export async function refuseKept(db: Kysely<Database>, row: Row<"snapshots">): Promise<void> {
  if (row.is_pinned)
    throw fault("SNAPSHOT_KEPT", `${row.id} is pinned${row.pin_reason === "" ? "" : `: ${row.pin_reason}`}`, { field: "id" });
  const user = await db.selectFrom("workloads").select("name").where("snapshot_id", "=", row.id).executeTakeFirst();
  if (user !== undefined) throw fault("SNAPSHOT_KEPT", `${user.name} is being restored from ${row.id}`, { field: "id" });
}

export function createCatalogue(options: CatalogueOptions): Catalogue {
  const { db, events, sessions, policy, nowMs, log } = options;

  async function setPin(row: Row<"snapshots">, isPinned: boolean, reason: string, actor: string): Promise<void> {
    await db.transaction().execute(async (tx) => {
      await tx.updateTable("snapshots").set({ is_pinned: isPinned, pin_reason: reason }).where("id", "=", row.id).execute();
      await events.append(tx, {
        type: isPinned ? "snapshot.pinned" : "snapshot.unpinned",
        subject: `snapshot/${row.id}`,
        message: isPinned
          ? `${actor} keeps ${row.id} of ${row.workload} whatever its age${reason === "" ? "" : `: ${reason}`}`
          : `${actor} lets retention have ${row.id} of ${row.workload}`,
        data: { workload: row.workload },
      });
    });
  }

  async function read(): Promise<Kept[]> {
    const rows = await db
      .selectFrom("snapshots")
      .leftJoin("workloads", "workloads.snapshot_id", "snapshots.id")
      .select([
        "snapshots.id",
        "snapshots.workload",
        "snapshots.state",
        "snapshots.created_at",
        "snapshots.bytes",
        "snapshots.is_pinned",
        "workloads.name as user",
      ])
      .execute();
    return rows.map((row) => ({
      id: row.id,
      workload: row.workload,
      state: row.state,
      createdAtMs: row.created_at.getTime(),
      bytes: Number(row.bytes),
      isPinned: row.is_pinned,
      isInUse: row.user !== null,
    }));
  }

  async function enforce(signal: AbortSignal): Promise<void> {
    const all = await read();
    const going = judge(all, policy(), nowMs()).filter((each) => !each.isKept);
    for (const { id, why } of going) {
      if (signal.aborted) break;
      try {
        await options.remove(id, signal, why);
        log.info({ snapshot: id, why }, "snapshot.retired");
      } catch (caught) {
        if (!signal.aborted) log.warn({ err: caught, snapshot: id }, "snapshot.not_retired");
      }
    }
  }
  const pause = createPause();

  return {
    pin: (row, reason, actor) => setPin(row, true, reason.slice(0, 300), actor),
    unpin: (row, actor) => setPin(row, false, "", actor),
    async verify(row, signal) {
      if (row.state === "creating" || row.state === "deleting")
        throw fault("SNAPSHOT_NOT_READY", `${row.id} is ${row.state}`, { field: "id" });
      const nodeId = sessions.isConnected(row.node_id) ? row.node_id : sessions.connectedNodes()[0];
      if (nodeId === undefined) throw fault("NODE_NOT_CONNECTED", "no node is connected that could read it");
      const action = { case: "verifySnapshot" as const, value: { snapshotId: row.id, spec: fromColumn(WorkloadSpecSchema, row.spec) } };
      const command = { id: newId("cmd"), workload: row.workload, action };
      const result = await sessions.send(nodeId, command, AbortSignal.any([signal, AbortSignal.timeout(verifyDeadlineMs)]));
      if (result.outcome !== CommandOutcome.OK) {
        const code = result.error?.code ?? "";
        const message = result.error?.message ?? `${nodeId} did not verify it`;
        if (code === "SNAPSHOT_CORRUPT") await options.markCorrupt(row, message);
        throw fault(isFaultCode(code) ? code : "UNAVAILABLE", message);
      }
      await db.transaction().execute(async (tx) => {
        await tx
          .updateTable("snapshots")
          .set({ verified_at: new Date(nowMs()) })
          .where("id", "=", row.id)
          .execute();
        await events.append(tx, {
          type: "snapshot.verified",
          subject: `snapshot/${row.id}`,
          message: `every byte of ${row.id} is as its manifest says, read by ${nodeId}`,
        });
      });
    },
    async judgements() {
      return new Map(judge(await read(), policy(), nowMs()).map((each) => [each.id, each]));
    },
    wake: pause.end,
    async run(signal) {
      while (!signal.aborted) {
        await pause.wait(enforceEveryMs, signal);
        if (!signal.aborted) await enforce(signal).catch((caught: unknown) => log.error({ err: caught }, "snapshot.retention_failed"));
      }
    },
  };
}
