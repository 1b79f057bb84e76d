// The one stream to the control plane. It reconnects for ever, by backoff and jitter; on each connection it says what is true (Hello),
// then sends what was not acknowledged: signals of the spool, results of the journal. What is lossy (heartbeats, progress) is lost while
// nobody listens: the next Hello says it all. Nothing here decides anything.
import { Fault, fault } from "@aether/contract";
import {
  type AgentConfig,
  AgentService,
  type Command,
  type CommandResult,
  type CommandResultSchema,
  CommandSchema,
  type HelloSchema,
  type SessionRequestSchema,
  type SessionResponse,
  SignalReportSchema,
  type SignedBytes,
  type Welcome,
} from "@aether/contract/gen/aether/v2/agent_pb";
import { type Backoff, backoffMs, type Logger, type Stoppable, sleep } from "@aether/kit";
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import type { CommandJournal } from "../commands/journal.ts";
import { createOutbox, type Outbox } from "./outbox.ts";
import type { Spool } from "./spool.ts";
import type { CoreLink } from "./transport.ts";

export type UpMessage = MessageInitShape<typeof SessionRequestSchema>;
type Body = NonNullable<UpMessage["message"]>;

export interface SessionOptions {
  /** A new connection, with the newest certificate. */
  connect(): CoreLink;
  hello(): Promise<MessageInitShape<typeof HelloSchema>>;
  readonly spool: Spool;
  readonly journal: CommandJournal;
  readonly log: Logger;
  /** The content of what the control plane signed for this purpose. Throws IDENTITY_REJECTED. */
  openSigned(signed: SignedBytes, purpose: string): Uint8Array;
  /** Must not throw and must not wait for the command's end. */
  onCommand(command: Command): void;
  /** A signed plan for when the control plane is away. Must not throw. */
  onPlan(plan: SignedBytes): void;
  /** What happened to this command? */
  onQuery(commandId: string): MessageInitShape<typeof CommandResultSchema>;
  onCancel(commandId: string): void;
  onConfig(config: AgentConfig): void;
  onWelcome?(welcome: Welcome): void;
  /** Default 200 ms to 5 s. */
  readonly backoff?: Backoff;
  /** From the connection to the Welcome. Default 10 s. */
  readonly welcomeMs?: number;
  /** Signals and results without an acknowledgement are sent again after this long. Default 5 s. */
  readonly resendMs?: number;
}

export interface Session extends Stoppable {
  isConnected(): boolean;
  /** Lossy: false when nobody listens or the stream does not drain. */
  offer(message: Body): boolean;
  /** Waits for room on the stream; false when it ended or `signal` aborted. */
  put(message: Body, signal: AbortSignal): Promise<boolean>;
  /** Something new is in the spool: send it now. */
  flushSignals(): void;
  /** A result is in the journal: send it now. */
  sendResult(result: CommandResult): void;
  /** Facts have changed: begins a new stream, whose Hello says them. Nothing that must arrive is lost by it. */
  reconnect(): void;
}

const newFacts = fault("CANCELLED", "the node's facts have changed");

/** Starts at once and goes on until `stop`. */
export function startSession(options: SessionOptions): Session {
  const { spool, journal, log } = options;
  const backoff = options.backoff ?? { firstMs: 200, maxMs: 5_000 };
  const resendMs = options.resendMs ?? 5_000;
  const stopping = new AbortController();
  let conversation: AbortController | undefined;
  let live: { outbox: Outbox<UpMessage>; signalSentAt: Map<number, number>; resultSentAt: Map<string, number> } | undefined;

  const sendPending = async (onlyOlderThanMs: number) => {
    const target = live;
    if (target === undefined) return;
    const nowMs = performance.now();
    const isDue = (sentAtMs: number | undefined) => sentAtMs === undefined || nowMs - sentAtMs > onlyOlderThanMs;
    for (const { sequence, payload } of await spool.pending("signal")) {
      if (!isDue(target.signalSentAt.get(sequence))) continue;
      target.signalSentAt.set(sequence, nowMs);
      target.outbox.urgent({ message: { case: "signal", value: fromBinary(SignalReportSchema, payload) } });
    }
    for (const result of journal.unacknowledged()) {
      if (!isDue(target.resultSentAt.get(result.commandId))) continue;
      target.resultSentAt.set(result.commandId, nowMs);
      target.outbox.urgent({ message: { case: "result", value: result } });
    }
  };
  const sendPendingOrLog = (onlyOlderThanMs: number) => {
    sendPending(onlyOlderThanMs).catch((cause: unknown) => log.error({ err: cause }, "what waits for an acknowledgement cannot be read"));
  };

  /** Only what the control plane has signed, over all of its bytes, is carried out; who holds the stream alone cannot order anything. */
  function takeSigned(signed: SignedBytes): void {
    let command: Command;
    try {
      command = fromBinary(CommandSchema, options.openSigned(signed, "command"));
    } catch (caught) {
      log.error({ err: caught }, "a command is not carried out");
      return;
    }
    options.onCommand(command);
  }

  // It will be sent again after a restart, and the control plane will know it: no reason to end the stream.
  const ackNotKept = (cause: unknown) => log.error({ err: cause }, "an acknowledgement cannot be kept");

  async function receive(response: SessionResponse): Promise<void> {
    const { message } = response;
    switch (message.case) {
      case "welcome":
        if (message.value.config) options.onConfig(message.value.config);
        return options.onWelcome?.(message.value);
      case "command":
        return log.error({ commandId: message.value.id }, "a command without a signature is not carried out");
      case "signedCommand":
        return takeSigned(message.value);
      case "reflexPlan":
        return options.onPlan(message.value);
      case "signalAck":
        live?.signalSentAt.delete(Number(message.value));
        return spool.ack("signal", Number(message.value)).catch(ackNotKept);
      case "resultAck":
        live?.resultSentAt.delete(message.value);
        return journal.ack(message.value).catch(ackNotKept);
      case "queryCommandId":
        return live?.outbox.urgent({ message: { case: "result", value: options.onQuery(message.value) } });
      case "cancelCommandId":
        return options.onCancel(message.value);
      case "config":
        return options.onConfig(message.value);
      case undefined:
        return log.warn("the control plane sent a message that this agent does not know");
    }
  }

  /** One connection, from the handshake to its end. Returns whether it was welcomed. */
  async function converse(): Promise<{ isWelcomed: boolean; isRenewal: boolean; problem: Fault }> {
    let isWelcomed = false;
    const ending = new AbortController();
    conversation = ending;
    const outbox = createOutbox<UpMessage>(256);
    let link: CoreLink | undefined;
    let resend: NodeJS.Timeout | undefined;
    const welcomeTimer = setTimeout(
      () => ending.abort(fault("DEADLINE_EXCEEDED", "the control plane did not welcome this node in time")),
      options.welcomeMs ?? 10_000,
    );
    try {
      link = options.connect();
      outbox.urgent({ message: { case: "hello", value: await options.hello() } });
      const signal = AbortSignal.any([stopping.signal, ending.signal]);
      const responses = createClient(AgentService, link.transport).session(outbox, { signal });
      for await (const response of responses) {
        if (!isWelcomed && response.message.case === "welcome") {
          isWelcomed = true;
          clearTimeout(welcomeTimer);
          live = { outbox, signalSentAt: new Map(), resultSentAt: new Map() };
          log.info("session.connected");
          resend = setInterval(() => sendPendingOrLog(resendMs), resendMs);
          sendPendingOrLog(0);
        }
        await receive(response);
      }
      return { isWelcomed, isRenewal: false, problem: fault("UNAVAILABLE", "the control plane ended the stream") };
    } catch (caught) {
      const problem = Fault.from(ending.signal.aborted ? ending.signal.reason : caught);
      return { isWelcomed, isRenewal: ending.signal.reason === newFacts, problem };
    } finally {
      clearTimeout(welcomeTimer);
      clearInterval(resend);
      live = undefined;
      outbox.end();
      link?.close();
    }
  }

  async function run(): Promise<void> {
    let attempt = 0;
    while (!stopping.signal.aborted) {
      const { isWelcomed, isRenewal, problem } = await converse();
      if (stopping.signal.aborted) return;
      const facts = { code: problem.code, reason: problem.message };
      if (isRenewal) {
        log.info(facts, "session.renewed");
        continue;
      }
      if (isWelcomed) log.warn(facts, "session.lost");
      else if (attempt === 0 || attempt % 20 === 0) log.warn({ ...facts, attempt }, "the control plane is not reachable; workloads run on");
      else log.debug({ ...facts, attempt }, "the control plane is not reachable");
      attempt = isWelcomed ? 0 : attempt + 1;
      await sleep(backoffMs(backoff, attempt), stopping.signal).catch(() => undefined);
    }
  }
  const running = run();

  return {
    isConnected: () => live !== undefined,
    offer: (message) => live?.outbox.offer({ message }) ?? false,
    put: async (message, signal) => (await live?.outbox.put({ message }, signal)) ?? false,
    flushSignals: () => sendPendingOrLog(Number.POSITIVE_INFINITY),
    sendResult(result) {
      live?.resultSentAt.set(result.commandId, performance.now());
      live?.outbox.urgent({ message: { case: "result", value: result } });
    },
    reconnect() {
      conversation?.abort(newFacts);
    },
    async stop() {
      stopping.abort(fault("CANCELLED", "the agent stops"));
      await running;
    },
  };
}
