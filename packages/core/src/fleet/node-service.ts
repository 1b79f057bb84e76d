// NodeService: what nodes there are, and whether they take new workloads.
import { type Node, NodeService } from "@aether/contract/gen/aether/v2/node_pb";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Db } from "../db/database.ts";
import type { Events } from "../events/events.ts";
import { type Caller, callerOf } from "../http/caller.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { declareDead, fatesOf, refuseWhileHeard } from "./declare-dead.ts";
import type { Memory } from "./memory.ts";
import { requireNode, toNode, workloadsByNode } from "./node-store.ts";
import type { AgentSessions } from "./sessions.ts";

export interface NodeServiceOptions {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: AgentSessions;
  readonly memory: Memory;
  readonly nowMs: () => number;
}

export function nodeRoutes({ db, events, sessions, memory, nowMs }: NodeServiceOptions): (router: ConnectRouter) => void {
  const show = (row: Parameters<typeof toNode>[0], workloads: readonly string[]): Node => {
    const node = toNode(row, workloads, sessions.isConnected(row.id));
    const usage = memory.usage(row.id);
    if (usage) node.usage = usage;
    return node;
  };
  const get = async (id: string) => {
    const row = await requireNode(db, id, "id");
    return show(row, (await workloadsByNode(db, [id])).get(id) ?? []);
  };
  const setCordon = async (id: string, isCordoned: boolean, reason: string, caller: Caller) => {
    const before = await requireNode(db, id, "id");
    await db.transaction().execute(async (tx) => {
      await tx
        .updateTable("nodes")
        .set({ is_cordoned: isCordoned, cordon_reason: isCordoned ? reason.slice(0, 300) : "" })
        .where("id", "=", id)
        .execute();
      if (before.is_cordoned === isCordoned) return;
      const message = isCordoned
        ? `${id} takes no new workload${reason ? `: ${reason.slice(0, 300)}` : ""}`
        : `${id} takes workloads again`;
      await events.append(tx, {
        type: isCordoned ? "node.cordoned" : "node.uncordoned",
        subject: `node/${id}`,
        message,
        traceId: caller.traceId,
      });
    });
    return { node: await get(id) };
  };
  return (router) =>
    router.service(NodeService, {
      async listNodes(request) {
        const { limit, after } = parsePage(request.page);
        let query = db
          .selectFrom("nodes")
          .selectAll()
          .orderBy("id")
          .limit(limit + 1);
        if (after !== undefined) query = query.where("id", ">", after);
        const { rows, nextPageToken } = cutPage(await query.execute(), limit, ({ id }) => id);
        const workloads = await workloadsByNode(
          db,
          rows.map(({ id }) => id),
        );
        return { nodes: rows.map((row) => show(row, workloads.get(row.id) ?? [])), nextPageToken };
      },
      getNode: async ({ id }) => ({ node: await get(id) }),
      cordonNode: ({ id, reason }, context) => setCordon(id, true, reason, callerOf(context)),
      uncordonNode: ({ id }, context) => setCordon(id, false, "", callerOf(context)),
      async declareNodeDead({ id, reason, isDryRun }, context) {
        await requireNode(db, id, "id");
        refuseWhileHeard(id, sessions.isConnected(id));
        const word = { nodeId: id, reason: reason.slice(0, 300), traceId: callerOf(context).traceId, nowMs: nowMs() };
        if (!isDryRun) await db.transaction().execute((tx) => declareDead(tx, events, word));
        return { node: await get(id), workloads: await fatesOf(db, id) };
      },
    });
}
