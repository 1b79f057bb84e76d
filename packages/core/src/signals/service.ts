// SignalService: what was heard, newest first; and what others heard for us.
import { fault, parseNodeId } from "@aether/contract";
import { SignalKind, SignalService } from "@aether/contract/gen/aether/v2/signal_pb";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import { sql } from "kysely";
import type { Db } from "../db/database.ts";
import { dateOf } from "../db/proto.ts";
import type { Gateway } from "../fleet/gateway.ts";
import { requireNode } from "../fleet/node-store.ts";
import type { SignalIntake } from "../fleet/signal-intake.ts";
import { callerOf } from "../http/caller.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { toSignal } from "./store.ts";

export interface SignalServiceOptions {
  readonly db: Db;
  readonly intake: Pick<SignalIntake, "ingest" | "ingestForAll">;
  readonly gateway: Pick<Gateway, "tellSignal">;
  readonly nowMs: () => number;
}

/** What was heard earlier than this is no reason to act now. */
const oldestMs = 3_600_000;
/** Clocks differ. */
const earliestMs = 60_000;

export function signalRoutes({ db, intake, gateway, nowMs }: SignalServiceOptions): (router: ConnectRouter) => void {
  const observedOf = (said: Timestamp | undefined): Date => {
    const now = nowMs();
    const observed = dateOf(said) ?? new Date(now);
    if (observed.getTime() > now + earliestMs || observed.getTime() < now - oldestMs)
      throw fault("INVALID_ARGUMENT", "observed_at is within the last hour", { field: "observed_at" });
    return observed;
  };
  return (router) =>
    router.service(SignalService, {
      async listSignals({ page, nodeId }) {
        const { limit, after } = parsePage(page);
        let query = db
          .selectFrom("signals")
          .selectAll()
          .orderBy("id", "desc")
          .limit(limit + 1);
        if (after !== undefined) query = query.where("id", "<", after);
        if (nodeId !== "") query = query.where("node_id", "=", parseNodeId(nodeId, "node_id"));
        const { rows, nextPageToken } = cutPage(await query.execute(), limit, (row) => row.id);
        return { signals: rows.map(toSignal), nextPageToken };
      },
      async ingestSignal({ nodeId, kind, observedAt, effectiveAt, action, source }, context) {
        const { id } = await requireNode(db, parseNodeId(nodeId, "node_id"), "node_id");
        requireSource(source);
        if (!["", "terminate", "stop", "hibernate", "rebalance"].includes(action))
          throw fault("INVALID_ARGUMENT", "action is terminate, stop, hibernate or empty", { field: "action" });
        const heard = { nodeId: id, kind, observedAt: observedOf(observedAt), effectiveAt: dateOf(effectiveAt), action, source };
        const { row, isDuplicate } = await intake.ingest({ ...heard, traceId: callerOf(context).traceId });
        if (!isDuplicate) gateway.tellSignal(row);
        return { signal: toSignal(row), isDuplicate };
      },
      async ingestMarketSignal({ kind, instanceType, zone, observedAt, source }, context) {
        requireSource(source);
        if (kind !== SignalKind.REBALANCE && kind !== SignalKind.WITHDRAWN)
          throw fault("INVALID_ARGUMENT", "kind is REBALANCE or WITHDRAWN; a notice is always of one node", { field: "kind" });
        const heardAt = observedOf(observedAt);
        let query = db
          .selectFrom("nodes")
          .select("id")
          .where(sql`facts #>> '{cloud,lifecycle}'`, "=", "spot")
          .where("lost_at", "is", null)
          .orderBy("id");
        if (instanceType !== "") query = query.where(sql`facts #>> '{cloud,instanceType}'`, "=", instanceType);
        if (zone !== "") query = query.where(sql`facts #>> '{cloud,zone}'`, "=", zone);
        const isWithdrawn = kind === SignalKind.WITHDRAWN;
        const told = isWithdrawn ? await lastToldRebalance(db, source) : undefined;
        const nodeIds = (await query.execute()).map(({ id }) => id).filter((id) => told?.has(id) ?? true);
        const action = isWithdrawn ? "rebalance" : "";
        const heard = { kind, observedAt: heardAt, effectiveAt: undefined, action, source, traceId: callerOf(context).traceId };
        const made = await intake.ingestForAll(nodeIds, heard);
        for (const row of made) gateway.tellSignal(row);
        return { nodeIds, newCount: made.length };
      },
    });
}

function requireSource(source: string): void {
  if (/^[a-z0-9][a-z0-9-]{0,59}$/.test(source)) return;
  throw fault("INVALID_ARGUMENT", "source is 1 to 60 of a-z, 0-9 and dash, e.g. eventbridge", { field: "source" });
}

/** Nodes for which this source's last word is a recommendation. */
async function lastToldRebalance(db: Db, source: string): Promise<ReadonlySet<string>> {
  const rows = await db
    .selectFrom("signals")
    .distinctOn("node_id")
    .select(["node_id", "kind"])
    .where("source", "=", source)
    .orderBy("node_id")
    .orderBy("id", "desc")
    .execute();
  return new Set(rows.filter(({ kind }) => kind === "rebalance").map(({ node_id }) => node_id));
}
