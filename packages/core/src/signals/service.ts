// SignalService: what was heard, newest first; and what others heard for us.
import { fault, parseNodeId } from "@aether/contract";
import { SignalService } from "@aether/contract/gen/aether/v2/signal_pb";
import type { ConnectRouter } from "@connectrpc/connect";
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
  readonly intake: Pick<SignalIntake, "ingest">;
  readonly gateway: Pick<Gateway, "tellSignal">;
  readonly nowMs: () => number;
}

/** What was heard earlier than this is no reason to act now. */
const oldestMs = 3_600_000;
/** Clocks differ. */
const earliestMs = 60_000;

export function signalRoutes({ db, intake, gateway, nowMs }: SignalServiceOptions): (router: ConnectRouter) => void {
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
        if (!/^[a-z0-9][a-z0-9-]{0,59}$/.test(source))
          throw fault("INVALID_ARGUMENT", "source is 1 to 60 of a-z, 0-9 and dash, e.g. eventbridge", { field: "source" });
        if (!["", "terminate", "stop", "hibernate", "rebalance"].includes(action))
          throw fault("INVALID_ARGUMENT", "action is terminate, stop, hibernate or empty", { field: "action" });
        const now = nowMs();
        const observed = dateOf(observedAt) ?? new Date(now);
        if (observed.getTime() > now + earliestMs || observed.getTime() < now - oldestMs)
          throw fault("INVALID_ARGUMENT", "observed_at is within the last hour", { field: "observed_at" });
        const heard = { nodeId: id, kind, observedAt: observed, effectiveAt: dateOf(effectiveAt), action, source };
        const { row, isDuplicate } = await intake.ingest({ ...heard, traceId: callerOf(context).traceId });
        if (!isDuplicate) gateway.tellSignal(row);
        return { signal: toSignal(row), isDuplicate };
      },
    });
}
