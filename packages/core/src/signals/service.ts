import { parseNodeId } from "@aether/contract";
import { SignalService } from "@aether/contract/gen/aether/v2/signal_pb";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Db } from "../db/database.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { toSignal } from "./store.ts";

/** SignalService: what was heard, newest first. */
export function signalRoutes(db: Db): (router: ConnectRouter) => void {
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
    });
}
