// WorkloadService: from requests to rows to commands. The intent is on record before the node hears of it.

import { fault } from "@aether/contract";
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { type RunWorkloadRequest, WorkloadService, WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { create, equals } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Db } from "../db/database.ts";
import { fromColumn, toColumn } from "../db/proto.ts";
import type { RowChange } from "../db/schema.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { Events } from "../events/events.ts";
import { requireNode } from "../fleet/node-store.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { type Caller, callerOf } from "../http/caller.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { newId } from "../ids.ts";
import { type AddressPool, firstFree } from "./address-pool.ts";
import { type Converge, problemOf } from "./converge.ts";
import { readLogs } from "./logs.ts";
import type { Offers } from "./offers.ts";
import { parseArgv, parseSpec } from "./spec.ts";
import { changeUnlessMoving, findWorkload, placeNext, refuseWhileMoving, requireWorkload, selectPlaced, toWorkload } from "./store.ts";
import { withUpdate } from "./update.ts";

export interface WorkloadServiceOptions {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: AgentSessions;
  readonly offers: Offers;
  readonly converge: Converge;
  readonly pool: AddressPool;
}

export function workloadRoutes(options: WorkloadServiceOptions): (router: ConnectRouter) => void {
  const { db, events, sessions, converge } = options;
  const show = async (name: string) => ({ workload: toWorkload(await requireWorkload(db, name)) });

  /** The running workload's place, or WORKLOAD_NOT_RUNNING. */
  const requirePlace = async (name: string) => {
    const row = await requireWorkload(db, name);
    if (row.node_id === null || row.epoch === null) throw fault("WORKLOAD_NOT_RUNNING", `${name} is on no node`, { field: "name" });
    return { row, nodeId: row.node_id, epoch: row.epoch };
  };

  return (router) =>
    router.service(WorkloadService, {
      async runWorkload(request, context) {
        const name = await intend(options, request, callerOf(context));
        await converge.converge(name, context.signal);
        return show(name);
      },
      async listWorkloads(request) {
        const { limit, after } = parsePage(request.page);
        let query = selectPlaced(db)
          .orderBy("workloads.name")
          .limit(limit + 1);
        if (after !== undefined) query = query.where("workloads.name", ">", after);
        if (request.nodeId !== "") {
          await requireNode(db, request.nodeId, "node_id");
          query = query.where("placements.node_id", "=", request.nodeId);
        }
        const { rows, nextPageToken } = cutPage(await query.execute(), limit, ({ name }) => name);
        return { workloads: rows.map(toWorkload), nextPageToken };
      },
      getWorkload: ({ name }) => show(name),
      async updateWorkload({ name, spec, updateMask }, context) {
        const { actor, traceId } = callerOf(context);
        const paths = updateMask?.paths ?? [];
        await db.transaction().execute(async (tx) => {
          const row = await tx.selectFrom("workloads").select("spec").where("name", "=", name).forUpdate().executeTakeFirst();
          if (row === undefined)
            throw fault("WORKLOAD_NOT_FOUND", `there is no workload ${JSON.stringify(name.slice(0, 60))}`, { field: "name" });
          const before = fromColumn(WorkloadSpecSchema, row.spec);
          const after = withUpdate(before, spec, paths);
          if (equals(WorkloadSpecSchema, before, after)) return;
          await tx
            .updateTable("workloads")
            .set({ spec: toColumn(WorkloadSpecSchema, after) })
            .where("name", "=", name)
            .execute();
          const message = `${actor} has changed ${paths.join(", ")} of ${name}`;
          await events.append(tx, { type: "workload.updated", subject: `workload/${name}`, message, data: { paths }, traceId });
        });
        return show(name);
      },
      async stopWorkload({ name, graceSeconds }, context) {
        if (graceSeconds > 3600) throw fault("INVALID_ARGUMENT", "grace_seconds is at most 3600", { field: "grace_seconds" });
        const { row, nodeId } = await requirePlace(name);
        refuseWhileMoving(row);
        if (row.state === "stopped" || row.state === "exited" || row.state === "failed") return { workload: toWorkload(row) };
        if (!sessions.isConnected(nodeId)) throw fault("NODE_NOT_CONNECTED", `${nodeId}, the node of ${name}, has no session`);
        await desire(db, row, { desired: "stopped", stop_grace_seconds: graceSeconds === 0 ? 10 : graceSeconds });
        await converge.converge(name, context.signal);
        return show(name);
      },
      async removeWorkload({ name, force }, context) {
        const row = await requireWorkload(db, name);
        refuseWhileMoving(row);
        if ((row.state === "running" || row.state === "starting") && !force) {
          throw fault("WORKLOAD_RUNNING", `${name} runs on ${row.node_id ?? "a node"}`, {
            field: "name",
            hint: "Stop it first, or use --force.",
          });
        }
        if (row.node_id !== null && !sessions.isConnected(row.node_id) && !force) {
          throw fault("NODE_NOT_CONNECTED", `${row.node_id}, the node of ${name}, has no session`, {
            hint: "With force it is removed from the record now, and from the node when that comes back.",
          });
        }
        await desire(db, row, { desired: "removed" });
        if (row.node_id !== null && !sessions.isConnected(row.node_id)) await dropRecord(options, name, row.node_id, callerOf(context));
        await converge.converge(name, context.signal); // where it is dropped: a start that its node has not answered is given up
        return {};
      },
      async *readLogs({ name, follow, tailLines }, context) {
        const { nodeId, epoch } = await requirePlace(name);
        for await (const chunk of readLogs(sessions, { workload: name, nodeId, epoch, follow, tailLines }, context.signal)) yield { chunk };
      },
      async execWorkload({ name, argv, timeoutSeconds }, context) {
        const words = parseArgv(argv, "argv");
        if (timeoutSeconds > 3600) throw fault("INVALID_ARGUMENT", "timeout_seconds is at most 3600", { field: "timeout_seconds" });
        const { row, nodeId, epoch } = await requirePlace(name);
        if (row.state !== "running") throw fault("WORKLOAD_NOT_RUNNING", `${name} is ${row.state}`, { field: "name" });
        const seconds = timeoutSeconds === 0 ? 60 : timeoutSeconds;
        const action = { case: "exec" as const, value: { argv: words, timeoutSeconds: seconds } };
        const signal = AbortSignal.any([context.signal, AbortSignal.timeout((seconds + 15) * 1000)]);
        const command = { id: newId("cmd"), workload: name, epoch: BigInt(epoch), action, traceparent: callerOf(context).traceparent };
        const result = await sessions.send(nodeId, command, signal);
        if (result.outcome !== CommandOutcome.OK || result.facts.case !== "exec") throw problemOf(result);
        const { exitCode, stdout, stderr, isTruncated } = result.facts.value;
        return { exitCode, stdout, stderr, isTruncated };
      },
    });
}

/** Puts the workload and its first placement on record. */
async function intend({ db, events, offers, pool }: WorkloadServiceOptions, request: RunWorkloadRequest, caller: Caller): Promise<string> {
  const spec = parseSpec(request.spec, pool);
  const { name } = spec;
  if (await findWorkload(db, name)) throw fault("WORKLOAD_EXISTS", `there is a workload ${name}`, { field: "spec.name" });
  const nodeId = await offers.place(request.nodeId, { memoryLimitBytes: Number(spec.memoryLimitBytes) });
  try {
    await db.transaction().execute(async (tx) => {
      const used = new Set((await tx.selectFrom("workloads").select("address").execute()).map(({ address }) => address));
      if (used.has(spec.address)) throw addressInUse(spec.address);
      const address = spec.address === "" ? firstFree(pool, used) : spec.address;
      const placed = create(WorkloadSpecSchema, { ...spec, address });
      await tx
        .insertInto("workloads")
        .values({ name, id: newId("wl"), spec: toColumn(WorkloadSpecSchema, placed), address, desired: "running", state: "starting" })
        .execute();
      const epoch = await placeNext(tx, name, nodeId, "run");
      await events.append(tx, {
        type: "workload.starting",
        subject: `workload/${name}`,
        message: `${name} is started on ${nodeId}`,
        data: { nodeId, epoch, address },
        traceId: caller.traceId,
      });
    });
  } catch (caught) {
    if (isUniqueViolation(caught, "workloads_pkey")) throw fault("WORKLOAD_EXISTS", `there is a workload ${name}`, { field: "spec.name" });
    if (isUniqueViolation(caught, "workloads_address_key")) throw addressInUse(spec.address);
    throw caught;
  }
  return name;
}

const addressInUse = (address: string) => fault("ADDRESS_IN_USE", `${address} belongs to another workload`, { field: "spec.address" });

async function desire(db: Db, row: { id: string; name: string }, change: RowChange<"workloads">): Promise<void> {
  if (!(await changeUnlessMoving(db, row.id, change))) refuseWhileMoving(await requireWorkload(db, row.name));
}

/** The node is not there: the name is free now; what the node still has is removed when it comes back. */
async function dropRecord({ db, events }: WorkloadServiceOptions, name: string, nodeId: string, caller: Caller): Promise<object> {
  await db.transaction().execute(async (tx) => {
    await tx
      .updateTable("placements")
      .set({ is_active: false, ended_at: new Date() })
      .where("workload", "=", name)
      .where("is_active", "=", true)
      .execute();
    await tx.deleteFrom("workloads").where("name", "=", name).execute();
    await events.append(tx, {
      type: "workload.removed",
      subject: `workload/${name}`,
      message: `${name} was removed from the record; ${nodeId}, which is not connected, removes it when it is back`,
      data: { nodeId },
      traceId: caller.traceId,
    });
  });
  return {};
}
