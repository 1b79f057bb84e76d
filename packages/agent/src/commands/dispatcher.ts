// Takes a command from the stream to its answer: known before? allowed? on disk, done, on disk again, sent. A command never throws out of
// here; whatever happens is a CommandResult, and the same id is answered with the same one for as long as the journal keeps it.
import { Fault, fault } from "@aether/contract";
import { type Command, CommandOutcome, type CommandResult, CommandResultSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import type { Engine, Phase, Progress } from "@aether/engine";
import { type Clock, faultpoint, type Logger, type Stoppable, systemClock, withDeadline } from "@aether/kit";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { Session } from "../link/session.ts";
import type { Transfers } from "../link/transfers.ts";
import type { Board } from "../workloads/board.ts";
import { type ActionContext, actions, type Facts, frozenMs } from "./actions.ts";
import { epochOf, errorToProto, memoryToProto, phaseToProto } from "./convert.ts";
import { refusalOf } from "./gate.ts";
import type { CommandHead, CommandJournal } from "./journal.ts";
import { createLanes } from "./lanes.ts";

export interface DispatcherOptions {
  readonly engine: Engine;
  readonly board: Board;
  readonly journal: CommandJournal;
  readonly nodeId: string;
  readonly allowsChaos?: boolean | undefined;
  readonly transfers: Transfers;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Where answers go; lossy ones are dropped without it. */
  session(): Pick<Session, "offer" | "put" | "sendResult"> | undefined;
}

export interface Dispatcher extends Stoppable {
  /** Takes it; returns at once. */
  take(command: Command): void;
  /** What happened to this id: its result, RUNNING, or UNKNOWN. */
  answer(commandId: string): MessageInitShape<typeof CommandResultSchema>;
  /** Takes back a command that has not begun, and ends one where that does no harm. */
  cancel(commandId: string): void;
  /** Once, after the engine has recovered: what was begun before this process is answered with INTERRUPTED. */
  settleInterrupted(): Promise<void>;
  /** Resolves when nothing runs; what runs is ended by its signal. */
  stop(): Promise<void>;
}

interface Active {
  readonly command: Command;
  readonly controller: AbortController;
  hasBegun: boolean;
  done: Promise<void>;
}

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { engine, board, journal, nodeId, log, transfers, allowsChaos = false } = options;
  const clock = options.clock ?? systemClock;
  const lanes = createLanes();
  const active = new Map<string, Active>();
  let isStopping = false;

  function take(command: Command): void {
    const receivedMs = clock.monotonicMs();
    const known = journal.find(command.id);
    if (known?.state === "finished") {
      options.session()?.sendResult(known.result);
      return;
    }
    if (known !== undefined || active.has(command.id) || isStopping) return; // it is answered when it ends, or asked about
    const entry: Active = { command, controller: new AbortController(), hasBegun: false, done: Promise.resolve() };
    active.set(command.id, entry);
    const row = rowOf(command);
    for (const other of active.values()) {
      const isOfThisMove = command.migrationId !== "" && other.command.migrationId === command.migrationId;
      if (isOfThisMove && row?.supersedes?.some((name) => name === other.command.action.case) && other.command.fence <= command.fence) {
        other.controller.abort(fault("CANCELLED", `${command.action.case} was asked for`));
      }
    }
    entry.done = lanes
      .run(row?.lanes(command) ?? [], () => {
        entry.hasBegun = true;
        return carryOut(command, receivedMs, entry.controller.signal);
      })
      .catch((cause: unknown) => log.error({ err: cause, commandId: command.id }, "the command's result cannot be kept"))
      .finally(() => active.delete(command.id));
  }

  async function carryOut(command: Command, receivedMs: number, signal: AbortSignal): Promise<void> {
    const action = command.action.case ?? "unknown";
    const head: CommandHead = {
      id: command.id,
      action,
      workload: command.workload,
      epoch: epochOf(command),
      migrationId: command.migrationId,
      fence: Number(command.fence),
      term: Number(command.term),
    };
    const traceId = /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(command.traceparent)?.[1] ?? "";
    const its = log.child({ commandId: command.id, action, workload: command.workload, migrationId: command.migrationId, traceId });
    const phases: Phase[] = [];
    const result = (outcome: CommandOutcome, more: { facts?: Facts; problem?: Fault } = {}): CommandResult =>
      create(CommandResultSchema, {
        commandId: command.id,
        outcome,
        phases: phases.map((phase) => phaseToProto(phase, nodeId)),
        ...(more.facts && { facts: more.facts }),
        ...(more.problem && { error: errorToProto(more.problem, traceId) }),
      });

    const problem = refusal(command, head, receivedMs, signal);
    if (problem !== undefined) {
      its.warn({ code: problem.code, reason: problem.message }, "command.refused");
      return finish(head, result(CommandOutcome.REFUSED, { problem }), its);
    }
    try {
      await journal.begin(head, rowOf(command)?.isRepeatable);
    } catch (caught) {
      // Without a memory of it nothing may begin; the answer itself is not kept either.
      its.error({ err: caught }, "command.refused");
      return options.session()?.sendResult(result(CommandOutcome.REFUSED, { problem: Fault.from(caught) }));
    }
    await faultpoint("command.begun");
    its.info("command.begun");
    const startedMs = clock.monotonicMs();
    const progress = progressOf(command, phases);
    const context: ActionContext = { engine, board, command, transfers, allowsChaos, progress, output: outputOf(command, signal) };
    let finished: CommandResult;
    try {
      const facts = await perform(command, context, signal);
      finished = result(CommandOutcome.OK, facts ? { facts } : {});
      its.info({ durationMs: Math.round(clock.monotonicMs() - startedMs) }, "command.done");
    } catch (caught) {
      const failure = Fault.from(caught);
      its.error({ err: caught, code: failure.code, durationMs: Math.round(clock.monotonicMs() - startedMs) }, "command.failed");
      finished = result(CommandOutcome.FAILED, { problem: failure });
    }
    await faultpoint("command.done");
    const { isInMemory, leavesFrozen } = rowOf(command) ?? {};
    await finish(head, finished, its, isInMemory);
    const lookAgain = () => board.refresh().catch((cause: unknown) => its.warn({ err: cause }, "the workloads cannot be listed"));
    if (leavesFrozen && finished.outcome === CommandOutcome.OK) setTimeout(lookAgain, frozenMs).unref();
    else void lookAgain();
  }

  function refusal(command: Command, head: CommandHead, receivedMs: number, signal: AbortSignal): Fault | undefined {
    if (signal.aborted) return Fault.from(signal.reason);
    const { case: name } = command.action;
    if (name === undefined)
      return fault("INVALID_ARGUMENT", "this agent does not know the action", { field: "action", hint: "Update the agent." });
    return refusalOf(
      {
        ...head,
        validForMs: command.validFor === undefined ? undefined : durationMs(command.validFor),
        waitedMs: clock.monotonicMs() - receivedMs,
        isEpochBound: actions[name].isEpochBound,
      },
      journal,
    );
  }

  async function finish(head: CommandHead, result: CommandResult, its: Logger, isInMemory = false): Promise<void> {
    await journal
      .finish(head, result, isInMemory)
      .catch((cause: unknown) => its.error({ err: cause }, "the command's result cannot be kept; it is sent once"));
    await faultpoint("command.kept");
    options.session()?.sendResult(result);
  }

  function progressOf(command: Command, phases: Phase[]): Progress {
    let toldMs = Number.NEGATIVE_INFINITY;
    return {
      phase(phase) {
        phases.push(phase);
        options.session()?.offer({ case: "progress", value: { commandId: command.id, phase: phaseToProto(phase, nodeId), fraction: 1 } });
      },
      memory(report) {
        options.session()?.offer({ case: "progress", value: { commandId: command.id, memory: memoryToProto(report) } });
      },
      bytes(name, done, total) {
        const nowMs = clock.monotonicMs();
        if (done < total && nowMs - toldMs < 200) return;
        toldMs = nowMs;
        const value = {
          commandId: command.id,
          phase: { name, nodeId },
          fraction: total > 0 ? Math.min(1, done / total) : 0,
          bytesDone: BigInt(Math.round(done)),
          bytesTotal: BigInt(Math.round(total)),
        };
        options.session()?.offer({ case: "progress", value });
      },
    };
  }

  const outputOf = (command: Command, signal: AbortSignal) => async (chunk: Uint8Array, isEnd: boolean) =>
    (await options.session()?.put({ case: "output", value: { commandId: command.id, chunk, isEnd } }, signal)) ?? false;

  return {
    take,
    answer(commandId) {
      const known = journal.find(commandId);
      if (known?.state === "finished") return known.result;
      const isHere = known !== undefined || active.has(commandId);
      return { commandId, outcome: isHere ? CommandOutcome.RUNNING : CommandOutcome.UNKNOWN };
    },
    cancel(commandId) {
      const entry = active.get(commandId);
      const name = entry?.command.action.case;
      if (entry === undefined || name === undefined) return;
      if (!entry.hasBegun || actions[name].isCancellable) entry.controller.abort(fault("CANCELLED", "it was taken back"));
    },
    async settleInterrupted() {
      for (const head of journal.running()) {
        const problem = fault("STEP_INTERRUPTED", `the agent of ${nodeId} restarted in the middle of ${head.action}`);
        log.warn({ commandId: head.id, action: head.action, workload: head.workload }, "command.interrupted");
        const outcome = CommandOutcome.INTERRUPTED;
        await journal.finish(head, create(CommandResultSchema, { commandId: head.id, outcome, error: errorToProto(problem, "") }));
      }
    },
    async stop() {
      isStopping = true;
      const left = [...active.values()];
      for (const { controller } of left) controller.abort(fault("CANCELLED", "the agent stops"));
      await withDeadline("the commands under way", 8_000, () => Promise.all(left.map(({ done }) => done)));
    },
  };
}

/** Undefined: this agent does not know the action. */
const rowOf = ({ action }: Command) => (action.case === undefined ? undefined : actions[action.case]);

/** The table's rows are typed each by its own action; this is the one place where the two meet. */
function perform({ action }: Command, context: ActionContext, signal: AbortSignal): Promise<Facts | undefined> {
  if (action.case === undefined) throw fault("INVALID_ARGUMENT", "this agent does not know the action");
  const run = actions[action.case].run as (
    value: typeof action.value,
    context: ActionContext,
    signal: AbortSignal,
  ) => Promise<Facts | undefined>;
  return run(action.value, context, signal);
}
