// Sessions of clients without streams: the same session as a stream's (gateway.ts), fed by requests and emptied by polls. What was polled is kept
// until the client says that it has arrived, so an answer that was lost on its way is only asked for again.
import { fault } from "@aether/contract";
import {
  type HeartbeatRequest,
  type HeartbeatResponse,
  HeartbeatResponseSchema,
  type PollCommandsRequest,
  type PollCommandsResponse,
  PollCommandsResponseSchema,
  type SendFeedbackRequest,
  type SendFeedbackResponse,
  SendFeedbackResponseSchema,
  type SessionRequest,
  SessionRequestSchema,
  type SessionResponse,
} from "@aether/contract/gen/aether/v2/agent_pb";
import { create } from "@bufbuild/protobuf";
import { newId } from "../ids.ts";
import type { Gateway } from "./gateway.ts";
import { createOutbox, type Outbox } from "./outbox.ts";

export interface PolledSessions {
  heartbeat(nodeId: string, request: HeartbeatRequest): Promise<HeartbeatResponse>;
  poll(nodeId: string, request: PollCommandsRequest, signal: AbortSignal): Promise<PollCommandsResponse>;
  feedback(nodeId: string, request: SendFeedbackRequest): SendFeedbackResponse;
}

interface PolledSession {
  readonly id: string;
  readonly up: Outbox<SessionRequest>;
  /** Not known to have arrived; the first has the sequence `done + 1`. */
  readonly down: SessionResponse[];
  done: bigint;
  isOpen: boolean;
  /** Who waits for something to come down. */
  readonly waiting: Set<() => void>;
}

const upLimit = 1_000;
/** A client that does not poll loses its session, not the control plane its memory. */
const downLimit = 1_000;
const messagesEach = 100;
const longestWaitSeconds = 25;

/** @param known makes sure that the node is on record before its first hello. */
export function createPolledSessions(gateway: Pick<Gateway, "serve">, known: (nodeId: string) => Promise<void>): PolledSessions {
  const sessions = new Map<string, PolledSession>();

  const find = (nodeId: string, id: string): PolledSession | undefined => {
    const found = sessions.get(nodeId);
    return found?.isOpen === true && (id === "" || found.id === id) ? found : undefined;
  };

  function open(nodeId: string): PolledSession {
    const before = sessions.get(nodeId);
    const session: PolledSession = { id: newId("ses"), up: createOutbox(upLimit), down: [], done: 0n, isOpen: true, waiting: new Set() };
    sessions.set(nodeId, session);
    if (before !== undefined) end(before);
    const ending = new AbortController();
    const reading = (async () => {
      for await (const message of gateway.serve(nodeId, session.up, ending.signal)) {
        if (session.down.length >= downLimit) break;
        session.down.push(message);
        wake(session);
      }
    })();
    reading
      .catch(() => undefined)
      .finally(() => {
        end(session);
        ending.abort();
        if (sessions.get(nodeId) === session) sessions.delete(nodeId);
      });
    return session;
  }

  function end(session: PolledSession): void {
    session.isOpen = false;
    session.up.end();
    wake(session);
  }

  const wake = (session: PolledSession) => {
    for (const each of session.waiting) each();
  };

  /** Until there is something, the session has ended, or the time is over. */
  const something = (session: PolledSession, waitMs: number, signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        session.waiting.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      session.waiting.add(done);
      signal.addEventListener("abort", done, { once: true });
    });

  return {
    async heartbeat(nodeId, { hello, heartbeat }) {
      if (hello === undefined && heartbeat === undefined)
        throw fault("INVALID_ARGUMENT", "a heartbeat has a hello or a heartbeat", { field: "heartbeat" });
      let session = find(nodeId, "");
      if (hello !== undefined) {
        await known(nodeId);
        session = open(nodeId);
        session.up.push(create(SessionRequestSchema, { message: { case: "hello", value: hello } }));
      }
      if (session === undefined) return create(HeartbeatResponseSchema, { needsHello: true });
      if (heartbeat !== undefined) session.up.push(create(SessionRequestSchema, { message: { case: "heartbeat", value: heartbeat } }));
      return create(HeartbeatResponseSchema, { sessionId: session.id });
    },
    async poll(nodeId, { after, waitSeconds, sessionId }, signal) {
      if (waitSeconds > longestWaitSeconds)
        throw fault("INVALID_ARGUMENT", `wait_seconds is at most ${longestWaitSeconds}`, { field: "wait_seconds" });
      const session = find(nodeId, sessionId);
      if (session === undefined) return create(PollCommandsResponseSchema, { needsHello: true });
      if (after > session.done + BigInt(session.down.length))
        throw fault("INVALID_ARGUMENT", `after is ${after}; the last that was said is ${session.done + BigInt(session.down.length)}`, {
          field: "after",
        });
      if (after > session.done) {
        session.down.splice(0, Number(after - session.done));
        session.done = after;
      }
      if (session.down.length === 0 && waitSeconds > 0) await something(session, waitSeconds * 1000, signal);
      const messages = session.down.slice(0, messagesEach).map((message, i) => ({ sequence: session.done + BigInt(i + 1), message }));
      return create(PollCommandsResponseSchema, { messages, needsHello: !session.isOpen && messages.length === 0 });
    },
    feedback(nodeId, { sessionId, messages }) {
      if (messages.length > messagesEach)
        throw fault("INVALID_ARGUMENT", `messages has more than ${messagesEach} entries`, { field: "messages" });
      for (const [i, { message }] of messages.entries())
        if (message.case === undefined || message.case === "hello")
          throw fault(
            "INVALID_ARGUMENT",
            `messages[${i}] is ${message.case === undefined ? "empty" : "a hello: send it with a heartbeat"}`,
            {
              field: `messages[${i}]`,
            },
          );
      const session = find(nodeId, sessionId);
      if (session === undefined) return create(SendFeedbackResponseSchema, { needsHello: true });
      for (const message of messages) session.up.push(message);
      return create(SendFeedbackResponseSchema, { needsHello: !session.isOpen });
    },
  };
}
