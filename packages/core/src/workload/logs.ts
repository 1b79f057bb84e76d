// A workload's output as a stream: the node sends chunks, the client reads when it can. Bounded: a client that does not read is cut off.

import { fault } from "@aether/contract";
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import type { AgentSessions } from "../fleet/sessions.ts";
import { newId } from "../ids.ts";
import { problemOf } from "./converge.ts";

const bufferLimitBytes = 8 << 20;

export interface LogRequest {
  readonly workload: string;
  readonly nodeId: string;
  readonly epoch: number;
  readonly follow: boolean;
  readonly tailLines: number;
}

/** Chunks in order, until the node says that it was all, or the signal aborts. Throws RATE_LIMITED for a client that reads too slowly. */
export async function* readLogs(sessions: AgentSessions, request: LogRequest, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { workload, nodeId, epoch, follow, tailLines } = request;
  const id = newId("cmd");
  const chunks: Uint8Array[] = [];
  let bufferedBytes = 0;
  let isEnded = false;
  let problem: unknown;
  let wake = () => {};
  const ended = new AbortController();
  const command = { id, workload, epoch: BigInt(epoch), action: { case: "readLogs" as const, value: { follow, tailLines } } };
  const onOutput = (output: { chunk: Uint8Array; isEnd: boolean }) => {
    bufferedBytes += output.chunk.byteLength;
    if (bufferedBytes > bufferLimitBytes) problem ??= fault("RATE_LIMITED", "the output is read too slowly");
    else if (output.chunk.byteLength > 0) chunks.push(output.chunk);
    if (output.isEnd) isEnded = true;
    wake();
  };
  sessions
    .send(nodeId, command, AbortSignal.any([signal, ended.signal]), { onOutput })
    .then((result) => {
      if (result.outcome !== CommandOutcome.OK) problem ??= problemOf(result);
      isEnded = true;
    })
    .catch((caught: unknown) => {
      problem ??= caught;
    })
    .finally(() => wake());
  try {
    for (;;) {
      const chunk = chunks.shift();
      if (chunk !== undefined) {
        bufferedBytes -= chunk.byteLength;
        yield chunk;
      } else if (signal.aborted) return;
      else if (problem !== undefined) throw problem;
      else if (isEnded) return;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    if (!isEnded) sessions.cancel(nodeId, id);
    ended.abort(fault("CANCELLED", "nobody reads the output any more"));
  }
}
