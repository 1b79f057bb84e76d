// The seam between whoever decides what a node shall do and the stream on which its agent hears it. A command is on record before
// it leaves and its result is on record before the agent may forget it; what was not acknowledged is asked about, never blindly repeated.
import type {
  CommandOutput,
  CommandProgress,
  CommandResult,
  CommandSchema,
  Hello,
  SignedBytes,
} from "@aether/contract/gen/aether/v2/agent_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Row } from "../db/schema.ts";

/** What a caller gives; `id` must be set (`newId("cmd")`, or one derived from its journal so that a repeat has the same id). */
export type CommandInit = MessageInitShape<typeof CommandSchema> & { readonly id: string };

export interface SendOptions {
  /** Output chunks of ReadLogs; called in order. */
  readonly onOutput?: (output: CommandOutput) => void;
  /**
   * The caller wrote the row of `commands` in a transaction of its own just now (see migration/store.ts): it is sent at once, nothing is
   * inserted and nobody is asked first. Saves the freeze of a move a round trip.
   */
  readonly isOnRecord?: boolean;
}

export interface AgentSessions {
  /**
   * Sends a command and waits for its result, whatever the outcome (also FAILED and REFUSED: those are answers, not errors).
   * - Safe to repeat with the same id, also after a restart of core: a kept result is returned; a command on record without a result is
   *   asked about first and sent again only if the agent never saw it.
   * - A lost session does not end the wait: the question is asked again when the agent is back. The caller's signal is the deadline.
   * - The answer is given as soon as the result is here; it is stored beside that, and acknowledged to the agent once it is stored.
   * Throws NODE_NOT_CONNECTED (nothing was sent), or the signal's reason (the command may still be carried out; its result is kept).
   */
  send(nodeId: string, command: CommandInit, signal: AbortSignal, options?: SendOptions): Promise<CommandResult>;
  /**
   * What happened to this command? The kept result, or the agent's answer (RUNNING and UNKNOWN included).
   * Throws NODE_NOT_CONNECTED, or the signal's reason.
   */
  query(nodeId: string, commandId: string, signal: AbortSignal): Promise<CommandResult>;
  /** Gives the node its signed reflex plan. Lossy: a new session gets a new one. */
  sendPlan(nodeId: string, plan: SignedBytes): void;
  /** An answer to a command that is not on record. True: it was taken over. It is acknowledged afterwards either way. */
  onUnknownResult(listener: (nodeId: string, result: CommandResult) => Promise<boolean>): () => void;
  /** Asks the agent to stop a command's output. Safe when it has ended. */
  cancel(nodeId: string, commandId: string): void;
  isConnected(nodeId: string): boolean;
  connectedNodes(): readonly string[];
  /** Resolves when the node has a session; rejects with the signal's reason. */
  untilConnected(nodeId: string, signal: AbortSignal): Promise<void>;
  /**
   * A signal that is new and stored (row in `signals`, decided_at null). Called before the agent's report is acknowledged; must not throw.
   * A crash between the storing and the call is possible: at start, look at rows without `decided_at`.
   */
  onSignal(listener: (signal: Row<"signals">) => void): () => void;
  /** A session has begun, and what the agent said was reconciled with what is on record. */
  onHello(listener: (nodeId: string, hello: Hello) => void): () => void;
  /** Lossy, for people to watch. */
  onProgress(listener: (nodeId: string, progress: CommandProgress) => void): () => void;
  /** A session has ended. */
  onLost(listener: (nodeId: string) => void): () => void;
}
