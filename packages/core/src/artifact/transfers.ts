// What is under way between the control plane and a node: the id goes out in a signed command, and only that node may use it.
import { fault } from "@aether/contract";
import { ArtifactTransferService } from "@aether/contract/gen/aether/v2/artifact_pb";
import type { ConnectRouter } from "@connectrpc/connect";
import { callerOf } from "../http/caller.ts";
import { newId } from "../ids.ts";

interface Transfer {
  readonly nodeId: string;
  /** Takes what the node sends; waits while it cannot. */
  readonly take?: (data: Uint8Array) => Promise<void>;
  readonly give?: () => AsyncIterable<Uint8Array>;
}

export interface Transfers {
  /** Runs `work` while the transfer is open. */
  open<Result>(transfer: Transfer, work: (transferId: string) => Promise<Result>): Promise<Result>;
  routes(router: ConnectRouter): void;
}

export function createTransfers(): Transfers {
  const open = new Map<string, Transfer>();
  const find = (id: string, nodeId: string | undefined): Transfer => {
    const found = open.get(id);
    if (found === undefined || found.nodeId !== nodeId)
      throw fault("TRANSFER_NOT_FOUND", "no such transfer is under way for this node", { field: "transfer_id" });
    return found;
  };
  return {
    async open(transfer, work) {
      const id = newId("cmd");
      open.set(id, transfer);
      try {
        return await work(id);
      } finally {
        open.delete(id);
      }
    },
    routes(router) {
      router.service(ArtifactTransferService, {
        async sendExport(requests, context) {
          let take: Transfer["take"];
          for await (const { transferId, data } of requests) {
            take ??= find(transferId, callerOf(context).nodeId).take;
            if (take === undefined) throw fault("TRANSFER_NOT_FOUND", "nothing is to be sent under it", { field: "transfer_id" });
            if (data.length > 0) await take(data);
          }
          return {};
        },
        async *fetchImport({ transferId }, context) {
          const { give } = find(transferId, callerOf(context).nodeId);
          if (give === undefined) throw fault("TRANSFER_NOT_FOUND", "nothing is to be fetched under it", { field: "transfer_id" });
          for await (const data of give()) yield { data };
        },
      });
    },
  };
}
