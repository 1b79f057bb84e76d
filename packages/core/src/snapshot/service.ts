// SnapshotService: checkpoints in the nodes' common store. The row is written before the node hears of it; what a kill of the control plane
// left unfinished is asked about when the node is back.

import { fault } from "@aether/contract";
import { CommandOutcome, type CommandResult } from "@aether/contract/gen/aether/v2/agent_pb";
import { ErrorDetailSchema } from "@aether/contract/gen/aether/v2/common_pb";
import { ManifestSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { type Snapshot, SnapshotSchema, SnapshotService, SnapshotState } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import type { Logger } from "@aether/kit";
import { create } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Audit } from "../audit/audit.ts";
import type { Db } from "../db/database.ts";
import { fromColumn, fromColumnOrNone, stamp, toColumn } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { SnapshotStateText } from "../db/tables/workloads.ts";
import type { Events } from "../events/events.ts";
import { isDead } from "../fleet/declare-dead.ts";
import { requireNode } from "../fleet/node-store.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { type Caller, callerOf } from "../http/caller.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { newId } from "../ids.ts";
import type { Part } from "../part.ts";
import { readPoliciesInForce } from "../policy/in-force.ts";
import { type Converge, problemOf } from "../workload/converge.ts";
import type { Offers } from "../workload/offers.ts";
import { findWorkload, placeNext, refuseWhileMoving, requireWorkload, toWorkload } from "../workload/store.ts";
import { createCatalogue, refuseKept } from "./catalogue.ts";
import { type RetentionPolicy, tierOf } from "./retention.ts";

export interface SnapshotOptions {
  readonly db: Db;
  readonly events: Events;
  readonly audit: Pick<Audit, "record">;
  readonly sessions: AgentSessions;
  readonly offers: Offers;
  readonly converge: Converge;
  readonly policy: () => RetentionPolicy;
  readonly nowMs: () => number;
  readonly log: Logger;
}

const createDeadlineMs = 600_000;
const deleteDeadlineMs = 60_000;

export interface Snapshots extends Part {
  /** Rows of snapshots that are to be made were written: they are made now. */
  readonly wake: () => void;
  /** What is kept has changed: what may go now goes now. */
  readonly retire: () => void;
}

export function createSnapshots(options: SnapshotOptions): Snapshots {
  const { db, events, sessions, nowMs, log } = options;

  async function requireSnapshot(id: string): Promise<Row<"snapshots">> {
    const row = await db.selectFrom("snapshots").selectAll().where("id", "=", id).executeTakeFirst();
    if (row === undefined) throw fault("SNAPSHOT_NOT_FOUND", `there is no snapshot ${JSON.stringify(id.slice(0, 60))}`, { field: "id" });
    return row;
  }

  /** Asks the node for the checkpoint; the command's id follows from the row, so a repeat finds the kept result. */
  async function carryOut(row: Row<"snapshots">, signal: AbortSignal): Promise<Row<"snapshots">> {
    const action = { case: "createSnapshot" as const, value: { snapshotId: row.id, maxFreezeMs: Math.ceil(row.max_freeze_ms) } };
    const command = { id: `cmd-${row.id}`, workload: row.workload, epoch: BigInt(row.epoch), action };
    const result = await sessions.send(row.node_id, command, signal);
    return finish(row, result);
  }

  async function finish(row: Row<"snapshots">, result: CommandResult): Promise<Row<"snapshots">> {
    const facts = result.facts.case === "snapshot" ? result.facts.value : undefined;
    const isReady = result.outcome === CommandOutcome.OK && facts !== undefined;
    return db.transaction().execute(async (tx) => {
      const exposedMs = isReady ? await exposureOf(tx, row, row.created_at.getTime() + facts.totalMs) : 0;
      const changed = await tx
        .updateTable("snapshots")
        .set(
          isReady
            ? {
                state: "ready",
                bytes: Number(facts.bytes),
                freeze_ms: facts.freezeMs,
                stored_bytes: Number(facts.storedBytes),
                chunk_count: facts.chunkCount,
                new_chunk_count: facts.newChunkCount,
                cpu_seconds: facts.cpuSeconds,
                total_ms: facts.totalMs,
                manifest_sha256: facts.manifestSha256,
                freeze_bytes: Number(facts.freezeBytes),
                read_bytes: Number(facts.readBytes),
                since_snapshot_id: facts.sinceSnapshotId,
                whole_because: facts.wholeBecause,
                exposed_ms: exposedMs,
                manifest: facts.manifest ? toColumn(ManifestSchema, facts.manifest) : null,
              }
            : { state: "failed", error: toColumn(ErrorDetailSchema, result.error ?? create(ErrorDetailSchema, { code: "INTERNAL" })) },
        )
        .where("id", "=", row.id)
        .where("state", "=", "creating")
        .returningAll()
        .executeTakeFirst();
      if (changed === undefined) return requireSnapshot(row.id);
      await events.append(tx, {
        type: isReady ? "snapshot.ready" : "snapshot.failed",
        subject: `snapshot/${row.id}`,
        message: isReady
          ? `${row.workload} has a snapshot ${row.id}`
          : `the snapshot of ${row.workload} failed: ${result.error?.message ?? "no reason given"}`,
        data: { workload: row.workload, bytes: changed.bytes, storedBytes: changed.stored_bytes, freezeMs: changed.freeze_ms },
      });
      return changed;
    });
  }

  /** From the newest whole snapshot before this one until this one was whole; 0 where there is none before. */
  async function exposureOf(tx: Db, row: Row<"snapshots">, wholeAtMs: number): Promise<number> {
    const before = await tx
      .selectFrom("snapshots")
      .select(({ fn }) => fn.max("created_at").as("at"))
      .where("workload", "=", row.workload)
      .where("state", "=", "ready")
      .where("created_at", "<", row.created_at)
      .executeTakeFirst();
    return before?.at == null ? 0 : wholeAtMs - before.at.getTime();
  }

  async function make(name: string, anyFreeze: boolean, caller: Caller, signal: AbortSignal): Promise<Snapshot> {
    const workload = await requireWorkload(db, name, "workload");
    refuseWhileMoving(workload);
    const { node_id: nodeId, epoch } = workload;
    if (workload.state !== "running" || nodeId === null || epoch === null) {
      throw fault("WORKLOAD_NOT_RUNNING", `${name} is ${workload.state}`, { field: "workload" });
    }
    if (!sessions.isConnected(nodeId)) throw fault("NODE_NOT_CONNECTED", `${nodeId}, the node of ${name}, has no session`);
    const budgetMs = anyFreeze ? 0 : (await readPoliciesInForce(db)).ofColumn(workload.spec).maxFreezeMs.value;
    const row = await db.transaction().execute(async (tx) => {
      const made = await tx
        .insertInto("snapshots")
        .values({
          id: newId("snap"),
          workload: name,
          spec: JSON.stringify(workload.spec),
          state: "creating",
          node_id: nodeId,
          epoch,
          max_freeze_ms: budgetMs,
          ...(caller.cause === undefined ? {} : { cause: caller.cause }),
        })
        .returningAll()
        .executeTakeFirstOrThrow();
      const message = `a snapshot of ${name} is made`;
      await events.append(tx, {
        type: "snapshot.creating",
        subject: `snapshot/${made.id}`,
        message,
        traceId: caller.traceId,
        data: { workload: name },
      });
      return made;
    });
    const done = await carryOut(row, AbortSignal.any([signal, AbortSignal.timeout(createDeadlineMs)]));
    if (done.state === "ready") return toSnapshot(done, options.nowMs());
    const error = fromColumnOrNone(ErrorDetailSchema, done.error) ?? create(ErrorDetailSchema, { code: "INTERNAL", message: "it failed" });
    throw problemOf({ outcome: CommandOutcome.FAILED, error } as CommandResult);
  }

  /** The workload comes back under its name and address, in the next epoch. It must not run. */
  async function restore(id: string, wantedNodeId: string, caller: Caller, signal: AbortSignal) {
    const row = await requireSnapshot(id);
    if (row.state === "corrupt") throw fault("SNAPSHOT_CORRUPT", `${id} does not match its manifest`, { field: "id" });
    if (row.state !== "ready") throw fault("SNAPSHOT_NOT_READY", `${id} is ${row.state}`, { field: "id" });
    const spec = fromColumn(WorkloadSpecSchema, row.spec);
    const existing = await findWorkload(db, spec.name);
    if (existing) {
      refuseWhileMoving(existing);
      const isOnDeadNode =
        (existing.state === "lost" || existing.state === "starting") &&
        existing.node_id !== null &&
        isDead(await requireNode(db, existing.node_id, "id"), nowMs());
      if (!isOnDeadNode && !["stopped", "exited", "failed"].includes(existing.state)) {
        throw fault("WORKLOAD_RUNNING", `${spec.name} is ${existing.state} on ${existing.node_id ?? "a node"}; stop it first`, {
          field: "id",
          ...(existing.state === "lost" ? { hint: "If its node is gone for good, say so: aether nodes dead NODE." } : {}),
        });
      }
    }
    const nodeId = await options.offers.place(wantedNodeId, { memoryLimitBytes: Number(spec.memoryLimitBytes) });
    await db
      .transaction()
      .execute(async (tx) => {
        const values = {
          spec: JSON.stringify(row.spec),
          address: spec.address,
          desired: "running",
          state: "starting",
          snapshot_id: id,
        } as const;
        await tx
          .insertInto("workloads")
          .values({ ...values, name: spec.name, id: newId("wl") })
          .onConflict((conflict) => conflict.column("name").doUpdateSet({ ...values, reason: "", exit_code: null }))
          .execute();
        const epoch = await placeNext(tx, spec.name, nodeId, "restore", row.epoch + 1);
        await events.append(tx, {
          type: "workload.restoring",
          subject: `workload/${spec.name}`,
          message: `${spec.name} is restored from ${id} on ${nodeId}`,
          data: { nodeId, epoch, snapshotId: id },
          traceId: caller.traceId,
        });
      })
      .catch((caught: unknown) => {
        if (!isUniqueViolation(caught, "workloads_address_key")) throw caught;
        throw fault("ADDRESS_IN_USE", `${spec.address}, the address of ${spec.name}, belongs to another workload`, { field: "id" });
      });
    try {
      await options.converge.converge(spec.name, signal);
    } catch (caught) {
      if (caught instanceof Error && "code" in caught && caught.code === "SNAPSHOT_CORRUPT") await markCorrupt(row, caught.message);
      throw caught;
    }
    return { workload: toWorkload(await requireWorkload(db, spec.name)) };
  }

  async function markCorrupt(row: Row<"snapshots">, why: string): Promise<void> {
    await db.transaction().execute(async (tx) => {
      const error = toColumn(ErrorDetailSchema, create(ErrorDetailSchema, { code: "SNAPSHOT_CORRUPT", message: why }));
      await tx.updateTable("snapshots").set({ state: "corrupt", error }).where("id", "=", row.id).execute();
      await events.append(tx, {
        type: "snapshot.corrupt",
        subject: `snapshot/${row.id}`,
        message: `${row.id} does not match its manifest: ${why}`,
      });
    });
  }

  /** @param retired why the control plane itself deletes it; undefined: somebody has asked. */
  async function remove(id: string, signal: AbortSignal, retired?: string): Promise<void> {
    const row = await requireSnapshot(id);
    if (row.state === "creating") throw fault("SNAPSHOT_NOT_READY", `${id} is being made`, { field: "id" });
    await refuseKept(db, row);
    const nodeId = sessions.isConnected(row.node_id) ? row.node_id : sessions.connectedNodes()[0];
    if (nodeId === undefined) throw fault("NODE_NOT_CONNECTED", "no node is connected that could delete it");
    await db.updateTable("snapshots").set({ state: "deleting" }).where("id", "=", id).execute();
    const action = { case: "deleteSnapshot" as const, value: { snapshotId: id } };
    const command = { id: newId("cmd"), workload: row.workload, action };
    const result = await sessions.send(nodeId, command, AbortSignal.any([signal, AbortSignal.timeout(deleteDeadlineMs)]));
    if (result.outcome !== CommandOutcome.OK) throw problemOf(result);
    await db.transaction().execute(async (tx) => {
      await tx.deleteFrom("snapshots").where("id", "=", id).execute();
      await events.append(tx, { type: "snapshot.deleted", subject: `snapshot/${id}`, message: `${id} of ${row.workload} was deleted` });
      if (retired === undefined) return;
      const entry = { actor: "core", action: "snapshot.retire", subject: `snapshot/${id}`, outcome: "ok" } as const;
      await options.audit.record({ ...entry, data: { workload: row.workload, why: retired } }, tx);
    });
  }

  const catalogue = createCatalogue({ ...options, remove, markCorrupt });
  const show = async (id: string) => ({ snapshot: await describe([await requireSnapshot(id)]).then(([one]) => one) });
  const describe = async (rows: readonly Row<"snapshots">[]): Promise<Snapshot[]> => {
    const judged = await catalogue.judgements();
    return rows.map((row) => ({ ...toSnapshot(row, options.nowMs()), retention: judged.get(row.id)?.why ?? "" }));
  };
  let retiring: Promise<void> = Promise.resolve();
  const life = new AbortController();
  const making = new Set<string>();

  /** Everything that is to be made on nodes that are there: also what a restart left half done. The command's id follows from the row. */
  async function makeAll(): Promise<void> {
    const rows = await db.selectFrom("snapshots").selectAll().where("state", "=", "creating").execute();
    for (const row of rows) {
      if (making.has(row.id) || !sessions.isConnected(row.node_id)) continue;
      making.add(row.id);
      carryOut(row, AbortSignal.any([life.signal, AbortSignal.timeout(createDeadlineMs)]))
        .catch((caught: unknown) => {
          if (!life.signal.aborted) log.warn({ err: caught, snapshot: row.id }, "an unfinished snapshot was not made");
        })
        .finally(() => making.delete(row.id));
    }
  }
  /** One look at a time, and one more if somebody asked meanwhile: a fleet that comes back asks a thousand times. */
  let looking: "no" | "now" | "and again" = "no";
  const wake = () => {
    if (looking !== "no") {
      looking = "and again";
      return;
    }
    looking = "now";
    makeAll()
      .catch((caught: unknown) => {
        if (!life.signal.aborted) log.error({ err: caught }, "unfinished snapshots were not looked for");
      })
      .finally(() => {
        const isAskedAgain = looking === "and again";
        looking = "no";
        if (isAskedAgain && !life.signal.aborted) wake();
      });
  };

  return {
    async stop() {
      life.abort();
      await retiring;
    },
    async start(signal) {
      retiring = catalogue.run(AbortSignal.any([signal, life.signal]));
      const unlisten = sessions.onHello(() => wake());
      AbortSignal.any([signal, life.signal]).addEventListener("abort", unlisten, { once: true });
      wake();
    },
    wake,
    retire: catalogue.wake,
    routes: (router: ConnectRouter) => {
      router.service(SnapshotService, {
        createSnapshot: async ({ workload, anyFreeze }, context) => ({
          snapshot: await make(workload, anyFreeze, callerOf(context), context.signal),
        }),
        async listSnapshots(request) {
          const { limit, after } = parsePage(request.page);
          let query = db
            .selectFrom("snapshots")
            .selectAll()
            .orderBy("id", "desc")
            .limit(limit + 1);
          if (after !== undefined) query = query.where("id", "<", after);
          if (request.workload !== "") query = query.where("workload", "=", request.workload);
          const { rows, nextPageToken } = cutPage(await query.execute(), limit, ({ id }) => id);
          return { snapshots: await describe(rows), nextPageToken };
        },
        getSnapshot: ({ id }) => show(id),
        async pinSnapshot({ id, reason }, context) {
          await catalogue.pin(await requireSnapshot(id), reason, callerOf(context).actor);
          return show(id);
        },
        async unpinSnapshot({ id }, context) {
          await catalogue.unpin(await requireSnapshot(id), callerOf(context).actor);
          return show(id);
        },
        async verifySnapshot({ id }, context) {
          await catalogue.verify(await requireSnapshot(id), context.signal);
          return show(id);
        },
        restoreSnapshot: ({ id, nodeId }, context) => restore(id, nodeId, callerOf(context), context.signal),
        async deleteSnapshot({ id }, context) {
          await remove(id, context.signal);
          return {};
        },
      });
    },
  };
}

const states: Readonly<Record<SnapshotStateText, SnapshotState>> = {
  creating: SnapshotState.CREATING,
  ready: SnapshotState.READY,
  failed: SnapshotState.FAILED,
  corrupt: SnapshotState.CORRUPT,
  // Asked to go, and not gone yet: nobody may restore it.
  deleting: SnapshotState.FAILED,
};

function toSnapshot(row: Row<"snapshots">, nowMs: number): Snapshot {
  const manifest = fromColumnOrNone(ManifestSchema, row.manifest);
  const error = fromColumnOrNone(ErrorDetailSchema, row.error);
  return create(SnapshotSchema, {
    id: row.id,
    spec: fromColumn(WorkloadSpecSchema, row.spec),
    state: states[row.state],
    ...stamp("createdAt", row.created_at),
    bytes: BigInt(row.bytes),
    nodeId: row.node_id,
    epoch: BigInt(row.epoch),
    freezeMs: row.freeze_ms,
    storedBytes: BigInt(row.stored_bytes),
    chunkCount: row.chunk_count,
    newChunkCount: row.new_chunk_count,
    cpuSeconds: row.cpu_seconds,
    totalMs: row.total_ms,
    manifestSha256: row.manifest_sha256,
    maxFreezeMs: row.max_freeze_ms,
    freezeBytes: BigInt(row.freeze_bytes),
    readBytes: BigInt(row.read_bytes),
    sinceSnapshotId: row.since_snapshot_id,
    wholeBecause: row.whole_because,
    exposedMs: row.exposed_ms,
    isPinned: row.is_pinned,
    pinReason: row.pin_reason,
    ...stamp("verifiedAt", row.verified_at),
    tier: tierOf(nowMs - row.created_at.getTime()),
    cause: row.cause,
    ...(manifest === undefined ? {} : { manifest }),
    ...(error === undefined ? {} : { error }),
  });
}
