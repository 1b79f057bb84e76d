// A command's output as a stream (a workload's, the agent's own log): the node sends chunks, the client reads when it can. Bounded: a client that does not
// read is cut off.

import { fault } from "@aether/contract";
import { CommandOutcome, type CommandSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";
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

export function readLogs(sessions: AgentSessions, request: LogRequest, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { workload, nodeId, epoch, follow, tailLines } = request;
  const command = { workload, epoch: BigInt(epoch), action: { case: "readLogs" as const, value: { follow, tailLines } } };
  return readOutput(sessions, nodeId, command, signal);
}

/** The last lines of the log of a node's agent. */
export const readAgentLog = (sessions: AgentSessions, nodeId: string, signal: AbortSignal): AsyncGenerator<Uint8Array> =>
  readOutput(sessions, nodeId, { action: { case: "readAgentLog", value: {} } }, signal);

/** Chunks in order, until the node says that it was all, or the signal aborts. Throws RATE_LIMITED for a client that reads too slowly. */
async function* readOutput(
  sessions: AgentSessions,
  nodeId: string,
  asked: MessageInitShape<typeof CommandSchema>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const id = newId("cmd");
  const chunks: Uint8Array[] = [];
  let bufferedBytes = 0;
  let isEnded = false;
  let problem: unknown;
  let wake = () => {};
  const ended = new AbortController();
  const command = { ...asked, id };
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
