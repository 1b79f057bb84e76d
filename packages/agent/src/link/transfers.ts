// Files between this node and the control plane: on a connection of their own, so that a gigabyte never stands before a heartbeat.
import { ArtifactTransferService } from "@aether/contract/gen/aether/v2/artifact_pb";
import { createClient } from "@connectrpc/connect";
import type { CoreLink } from "./transport.ts";

export interface Transfers {
  send(transferId: string, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
  fetch(transferId: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** What one message carries, in bytes: large enough that the messages cost little. */
const pieceBytes = 256 << 10;

/** @param connect to the control plane that leads. */
export function createTransfers(connect: () => CoreLink): Transfers {
  return {
    async send(transferId, chunks, signal) {
      const link = connect();
      try {
        await createClient(ArtifactTransferService, link.transport).sendExport(messages(transferId, chunks), { signal });
      } finally {
        link.close();
      }
    },
    async *fetch(transferId, signal) {
      const link = connect();
      try {
        for await (const { data } of createClient(ArtifactTransferService, link.transport).fetchImport({ transferId }, { signal }))
          yield data;
      } finally {
        link.close();
      }
    },
  };
}

async function* messages(transferId: string, chunks: AsyncIterable<Uint8Array>) {
  yield { transferId, data: new Uint8Array() };
  for await (const chunk of chunks)
    for (let at = 0; at < chunk.length; at += pieceBytes)
      yield { transferId: "", data: new Uint8Array(chunk.subarray(at, at + pieceBytes)) };
}
