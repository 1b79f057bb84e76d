// The agents' streams: one session a node. What comes up is stored, told and acknowledged in its order; what goes down is on record first.
// See sessions.ts for what callers may rely on.

import { fault } from "@aether/contract";
import {
  type AgentConfig,
  type Command,
  CommandOutcome,
  type CommandOutput,
  type CommandProgress,
  type CommandResult,
  CommandSchema,
  type Hello,
  type SessionRequest,
  type SessionResponse,
  SessionResponseSchema,
  SignedBytesSchema,
  type WorkloadStatus,
} from "@aether/contract/gen/aether/v2/agent_pb";
import type { NodeUsage } from "@aether/contract/gen/aether/v2/node_pb";
import type { TelemetryReport } from "@aether/contract/gen/aether/v2/telemetry_pb";
import type { Clock, Logger } from "@aether/kit";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Row } from "../db/schema.ts";
import { type CommandStore, isFinal } from "./command-store.ts";
import { createOutbox, type Outbox } from "./outbox.ts";
import type { AgentSessions, SendOptions } from "./sessions.ts";
import type { SignalIntake } from "./signal-intake.ts";

/** What the gateway tells and asks of the rest of the fleet. */
export interface FleetMemory {
  /** A session begins: facts and workloads are noted and compared. Answers the placements on record. */
  hello(nodeId: string, hello: Hello, clockOffsetMs: number | undefined): Promise<readonly { workload: string; epoch: number }[]>;
  /** A command has succeeded and nobody waits for it any more: what it has started may be placed elsewhere, and is removed then. */
  late(nodeId: string, commandId: string): Promise<void>;
  /** After the welcome: what differs is put right. Runs beside the session. */
  settle(nodeId: string, hello: Hello): Promise<void>;
  heard(nodeId: string, usage: NodeUsage | undefined, clockOffsetMs: number | undefined): void;
  workloads(nodeId: string, statuses: readonly WorkloadStatus[]): Promise<void>;
}

export interface Gateway extends AgentSessions {
  /** One session, from its first message to its end. */
  serve(nodeId: string, requests: AsyncIterable<SessionRequest>, signal: AbortSignal): AsyncIterable<SessionResponse>;
  /** Has a session, or is about to: its hello is being taken in. */
  isHeard(nodeId: string): boolean;
  /** When the node was last heard, by the monotonic clock; undefined without a session. */
  lastHeardMs(nodeId: string): number | undefined;
  /** Ends a node's session, e.g. because it is silent. */
  end(nodeId: string): void;
  endAll(): void;
  tellSignal(signal: Row<"signals">): void;
  /** Every agent measures this often from now on. */
  paceTelemetry(intervalMs: number): void;
}

export interface GatewayOptions {
  readonly commands: CommandStore;
  readonly signals: SignalIntake;
  readonly memory: FleetMemory;
  /** What nodes measure, as it came in one message: taken at once, never waited for. */
  readonly telemetry: { take(nodeId: string, reports: readonly TelemetryReport[]): void };
  readonly agentConfig: AgentConfig;
  /** Of this process's leadership, in every command; 0: it has the database for itself. */
  readonly term?: number;
  /** By core's identity. */
  readonly sign: (purpose: string, content: Uint8Array<ArrayBuffer>) => MessageInitShape<typeof SignedBytesSchema>;
  /** What is put into a command as it leaves, and is not on record. */
  readonly complete?: (command: Command) => Command;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Session {
  readonly nodeId: string;
  readonly outbox: Outbox<SessionResponse>;
  lastHeardMs: number;
  /** Core's clock less the agent's, ms; the smallest of late, because the way up only adds. */
  offsets: number[];
  isOpen: boolean;
}

interface Waiter {
  readonly nodeId: string;
  /** Sent again when the agent says that it never saw it; undefined for a mere question. */
  readonly command: Command | undefined;
  readonly onOutput: ((output: CommandOutput) => void) | undefined;
  /** When it was first sent or asked about, by the monotonic clock. */
  readonly saidMs: number;
  resolve(result: CommandResult): void;
}

const helloDeadlineMs = 10_000;
const outboxLimit = 1_000;

export function createGateway(options: GatewayOptions): Gateway {
  const { commands, signals, memory, telemetry, clock, log } = options;
  const sessions = new Map<string, Session>();
  const waiters = new Map<string, Set<Waiter>>();
  let { agentConfig } = options;
  const listeners = {
    signal: new Set<(signal: Row<"signals">) => void>(),
    hello: new Set<(nodeId: string, hello: Hello) => void>(),
    progress: new Set<(nodeId: string, progress: CommandProgress) => void>(),
    lost: new Set<(nodeId: string) => void>(),
    unknown: new Set<(nodeId: string, result: CommandResult) => Promise<boolean>>(),
  };

  /** Agents carry out only what is signed, over all of its bytes. What is sent again has only the rest of its time: durations run by this clock. */
  const order = (session: Session, command: Command, firstSaidMs: number) => {
    const validForMs = command.validFor === undefined ? undefined : durationMs(command.validFor) - (clock.monotonicMs() - firstSaidMs);
    if (validForMs !== undefined && validForMs <= 0) return;
    const timed = validForMs === undefined ? command : { ...command, validFor: durationFromMs(Math.ceil(validForMs)) };
    const led = { ...timed, term: BigInt(options.term ?? 0) };
    const now = options.complete?.(led) ?? led;
    say(session, { case: "signedCommand", value: create(SignedBytesSchema, options.sign("command", toBinary(CommandSchema, now))) });
  };

  const say = (session: Session, message: MessageInitShape<typeof SessionResponseSchema>["message"]) => {
    if (!session.outbox.push(create(SessionResponseSchema, { message: message ?? { case: undefined } })) && session.isOpen) {
      log.warn({ nodeId: session.nodeId }, "session.outbox_full");
      close(session);
    }
  };

  function close(session: Session): void {
    session.isOpen = false;
    session.outbox.end();
    if (sessions.get(session.nodeId) !== session) return;
    sessions.delete(session.nodeId);
    log.info({ nodeId: session.nodeId }, "session.ended");
    for (const listener of listeners.lost) listener(session.nodeId);
  }

  function offsetOf(session: Session, agentMs: number | undefined): number | undefined {
    if (agentMs !== undefined) session.offsets = [...session.offsets.slice(-9), clock.nowMs() - agentMs];
    return session.offsets.length === 0 ? undefined : Math.min(...session.offsets);
  }

  /** Nodes whose hello is being taken in, and by how many sessions. */
  const greeting = new Map<string, number>();

  async function greet(session: Session, hello: Hello) {
    const { nodeId } = session;
    greeting.set(nodeId, (greeting.get(nodeId) ?? 0) + 1);
    try {
      const placements = await memory.hello(nodeId, hello, offsetOf(session, hello.agentTime && timestampMs(hello.agentTime)));
      const before = sessions.get(nodeId);
      if (before) close(before);
      sessions.set(nodeId, session);
      session.isOpen = true;
      return placements;
    } finally {
      const others = (greeting.get(nodeId) ?? 1) - 1;
      if (others === 0) greeting.delete(nodeId);
      else greeting.set(nodeId, others);
    }
  }

  async function begin(session: Session, hello: Hello): Promise<void> {
    const { nodeId } = session;
    const placements = await greet(session, hello);
    say(session, {
      case: "welcome",
      value: {
        coreTime: timestampFromMs(clock.nowMs()),
        config: agentConfig,
        placements: placements.map(({ workload, epoch }) => ({ workload, epoch: BigInt(epoch) })),
      },
    });
    for (const [id, set] of waiters) {
      for (const waiter of set) if (waiter.nodeId === nodeId) say(session, { case: "queryCommandId", value: id });
    }
    log.info({ nodeId, workloads: hello.workloads.length }, "session.begun");
    for (const listener of listeners.hello) listener(nodeId, hello);
    memory.settle(nodeId, hello).catch((caught: unknown) => log.error({ err: caught, nodeId }, "could not put right what differs"));
  }

  async function take(session: Session, { message }: SessionRequest): Promise<void> {
    const { nodeId } = session;
    session.lastHeardMs = clock.monotonicMs();
    switch (message.case) {
      case "hello":
        return begin(session, message.value);
      case "heartbeat":
        memory.heard(nodeId, message.value.usage, offsetOf(session, message.value.agentTime && timestampMs(message.value.agentTime)));
        if (message.value.measured.length > 0) telemetry.take(nodeId, message.value.measured);
        return memory.workloads(nodeId, message.value.workloads);
      case "workloadChange":
        return memory.workloads(nodeId, message.value.status ? [message.value.status] : []);
      case "telemetry":
        return telemetry.take(nodeId, [message.value]);
      case "signal": {
        const row = await signals.take(nodeId, message.value, offsetOf(session, undefined));
        if (row !== undefined) gateway.tellSignal(row);
        return say(session, { case: "signalAck", value: message.value.sequence });
      }
      case "result":
        return takeResult(session, message.value);
      case "progress":
        for (const listener of listeners.progress) listener(nodeId, message.value);
        return;
      case "output": {
        const readers = [...(waiters.get(message.value.commandId) ?? [])].filter(({ onOutput }) => onOutput !== undefined);
        if (readers.length === 0 && !message.value.isEnd) say(session, { case: "cancelCommandId", value: message.value.commandId });
        for (const { onOutput } of readers) onOutput?.(message.value);
        return;
      }
    }
  }

  async function takeResult(session: Session, result: CommandResult): Promise<void> {
    const { commandId } = result;
    const isLate = !waiters.has(commandId);
    for (const waiter of [...(waiters.get(commandId) ?? [])]) {
      if (waiter.nodeId !== session.nodeId) continue;
      if (isFinal(result) || waiter.command === undefined) waiter.resolve(result);
      else if (result.outcome === CommandOutcome.UNKNOWN) order(session, waiter.command, waiter.saidMs);
    }
    if (!isFinal(result)) return;
    // Whoever waited goes on first: in the freeze of a move its transaction would otherwise stand behind this one.
    await new Promise((resolve) => setImmediate(resolve));
    const isKnown = await commands.finish(session.nodeId, result);
    const isTaken = isKnown || (await takeUnknown(session.nodeId, result));
    if (!isTaken) log.warn({ nodeId: session.nodeId, commandId }, "result of a command that is not on record");
    say(session, { case: "resultAck", value: commandId });
    if (isLate && result.outcome === CommandOutcome.OK)
      memory
        .late(session.nodeId, commandId)
        .catch((caught: unknown) => log.error({ err: caught, nodeId: session.nodeId, commandId }, "could not put right what came late"));
  }

  async function takeUnknown(nodeId: string, result: CommandResult): Promise<boolean> {
    for (const listener of listeners.unknown) if (await listener(nodeId, result)) return true;
    return false;
  }

  function wait(
    nodeId: string,
    id: string,
    command: Command | undefined,
    signal: AbortSignal,
    first: (session: Session) => void,
    onOutput?: SendOptions["onOutput"],
  ): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const leave = () => {
        signal.removeEventListener("abort", abort);
        const set = waiters.get(id);
        set?.delete(waiter);
        if (set?.size === 0) waiters.delete(id);
      };
      const abort = () => {
        leave();
        reject(signal.reason);
      };
      const waiter: Waiter = {
        nodeId,
        command,
        onOutput,
        saidMs: clock.monotonicMs(),
        resolve(result) {
          leave();
          resolve(result);
        },
      };
      signal.addEventListener("abort", abort, { once: true });
      waiters.set(id, (waiters.get(id) ?? new Set()).add(waiter));
      // A session that ended just now is followed by another one, which asks.
      const session = sessions.get(nodeId);
      if (session) first(session);
    });
  }

  const requireSession = (nodeId: string) => {
    if (!sessions.has(nodeId)) throw fault("NODE_NOT_CONNECTED", `${nodeId} has no session`, { details: { nodeId } });
  };
  const listen = <Listener>(set: Set<Listener>, listener: Listener) => {
    set.add(listener);
    return () => {
      set.delete(listener);
    };
  };

  const gateway: Gateway = {
    async *serve(nodeId, requests, signal) {
      const session: Session = { nodeId, outbox: createOutbox(outboxLimit), lastHeardMs: clock.monotonicMs(), offsets: [], isOpen: false };
      let hasBegun = false;
      const end = () => close(session);
      signal.addEventListener("abort", end, { once: true });
      const timer = setTimeout(() => {
        if (!hasBegun) end();
      }, helloDeadlineMs);
      const reading = (async () => {
        for await (const request of requests) {
          if (request.message.case === "hello" ? hasBegun : !hasBegun) throw fault("INVALID_ARGUMENT", "a session begins with one hello");
          await take(session, request);
          hasBegun = true;
          if (!session.isOpen) return;
        }
      })();
      reading.then(end, (caught: unknown) => {
        if (!signal.aborted) log.warn({ err: caught, nodeId }, "session failed");
        end();
      });
      try {
        yield* session.outbox;
      } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        end();
      }
    },
    async send(nodeId, init, signal, { onOutput, isOnRecord = false } = {}) {
      const command = create(CommandSchema, init);
      const kept = isOnRecord ? undefined : await commands.result(command.id);
      if (kept !== undefined) return kept;
      requireSession(nodeId);
      const isNew = isOnRecord || (await commands.add(nodeId, command));
      const first = (session: Session) =>
        isNew ? order(session, command, clock.monotonicMs()) : say(session, { case: "queryCommandId", value: command.id });
      return wait(nodeId, command.id, command, signal, first, onOutput);
    },
    async query(nodeId, commandId, signal) {
      const kept = await commands.result(commandId);
      if (kept !== undefined) return kept;
      requireSession(nodeId);
      return wait(nodeId, commandId, undefined, signal, (session) => say(session, { case: "queryCommandId", value: commandId }));
    },
    cancel(nodeId, commandId) {
      const session = sessions.get(nodeId);
      if (session) say(session, { case: "cancelCommandId", value: commandId });
    },
    sendPlan(nodeId, plan) {
      const session = sessions.get(nodeId);
      if (session) say(session, { case: "reflexPlan", value: plan });
    },
    onUnknownResult: (listener) => listen(listeners.unknown, listener),
    isConnected: (nodeId) => sessions.has(nodeId),
    connectedNodes: () => [...sessions.keys()].sort(),
    untilConnected: (nodeId, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        if (sessions.has(nodeId)) return resolve();
        const unlisten = gateway.onHello((connected) => {
          if (connected !== nodeId) return;
          unlisten();
          signal.removeEventListener("abort", abort);
          resolve();
        });
        const abort = () => {
          unlisten();
          reject(signal.reason);
        };
        signal.addEventListener("abort", abort, { once: true });
      }),
    onSignal: (listener) => listen(listeners.signal, listener),
    onHello: (listener) => listen(listeners.hello, listener),
    onProgress: (listener) => listen(listeners.progress, listener),
    onLost: (listener) => listen(listeners.lost, listener),
    isHeard: (nodeId) => sessions.has(nodeId) || greeting.has(nodeId),
    lastHeardMs: (nodeId) => sessions.get(nodeId)?.lastHeardMs,
    end(nodeId) {
      const session = sessions.get(nodeId);
      if (session) close(session);
    },
    endAll() {
      for (const session of [...sessions.values()]) close(session);
    },
    paceTelemetry(intervalMs) {
      agentConfig = { ...agentConfig, telemetryIntervalMs: intervalMs };
      for (const session of sessions.values()) say(session, { case: "config", value: agentConfig });
    },
    tellSignal(signal) {
      for (const listener of listeners.signal) {
        try {
          listener(signal);
        } catch (caught) {
          log.error({ err: caught, signalId: signal.id }, "a listener failed on a signal");
        }
      }
    },
  };
  return gateway;
}
