// Brings runs on, one step after the other. Nothing is remembered beside the rows: each turn reads the run, asks the pure `next`, does one thing and writes
// what came of it. A step's beginning is on record before its act does anything; what an act makes bears the step's name (`cause`), so that after a kill at any
// moment the next turn finds it and makes it no second time. Only the leading control plane runs this; the fence proves it in each write.
import { Fault, fault } from "@aether/contract";
import { faultpoint, type Logger } from "@aether/kit";
import type { JsonObject } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import type { Db } from "../db/database.ts";
import type { Database, RowChange } from "../db/schema.ts";
import type { Events, NewEvent } from "../events/events.ts";
import { newId } from "../ids.ts";
import type { Act, Ask, Look, Word } from "./acts/act.ts";
import { findAct } from "./acts/index.ts";
import { next } from "./next.ts";
import { askAs, type StarterParts } from "./starter.ts";
import { beforeOf, errorColumn, inputsOf, madeOf, type RunRow, readSteps, type StepRow, toRecord } from "./store.ts";

export interface RunnerOptions extends StarterParts {
  readonly db: Db;
  readonly events: Events;
  readonly log: Logger;
  /** Between two looks at a step that is under way; default 500. */
  readonly lookMs?: number;
}

export interface Runner {
  /** Look at it now. */
  wake(id: string): void;
  /** Called after each change of a run. */
  onChange(listener: (id: string) => void): () => void;
  start(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/** After a failure that is none of the act's, e.g. of the database. */
const againMs = 1_000;
/** Agents find a control plane that has started again well within this. */
const comeBackMs = 15_000;
/** How often taking back is tried where what failed may pass. */
const undoTries = 5;

export const causeOf = (runId: string, step: string): string => `runbook-run/${runId}/${step}`;

interface Turn {
  readonly run: RunRow;
  readonly steps: readonly StepRow[];
}

/** When to look again, ms since the epoch; undefined: at once. */
type Until = number | undefined;

export function createRunner(options: RunnerOptions): Runner {
  const { db, events, log, nowMs, lookMs = 500 } = options;
  const owner = newId("ses");
  const stopping = new AbortController();
  const fences = new Map<string, number>();
  const running = new Map<string, { isWokenAgain: boolean; done: Promise<void> }>();
  const timers = new Map<string, NodeJS.Timeout>();
  const changed = new Set<(id: string) => void>();
  const undoAttempts = new Map<string, number>();
  let startedAtMs: number | undefined;

  function wake(id: string): void {
    if (startedAtMs === undefined || stopping.signal.aborted) return;
    clearTimeout(timers.get(id));
    timers.delete(id);
    const now = running.get(id);
    if (now !== undefined) {
      now.isWokenAgain = true;
      return;
    }
    const begun = { isWokenAgain: false, done: Promise.resolve() };
    running.set(id, begun);
    begun.done = bringOn(id)
      .catch((caught: unknown) => {
        if (stopping.signal.aborted) return;
        log.error({ err: caught, run: id }, "runbook.turn.failed");
        fences.delete(id);
        wakeAt(id, nowMs() + againMs);
      })
      .finally(() => {
        running.delete(id);
        if (begun.isWokenAgain) wake(id);
      });
  }

  function wakeAt(id: string, atMs: number): void {
    if (stopping.signal.aborted) return;
    clearTimeout(timers.get(id));
    timers.set(
      id,
      setTimeout(() => wake(id), Math.max(0, Math.min(atMs - nowMs(), 3_600_000))),
    );
  }

  async function bringOn(id: string): Promise<void> {
    while (!stopping.signal.aborted) {
      const turn = await read(id);
      if (turn === undefined) return;
      const until = await carryOut(turn);
      if (until === "ended") return;
      if (until !== undefined) return wakeAt(id, until);
    }
  }

  /** With the fence in this process's hand; undefined: it has ended. */
  async function read(id: string): Promise<Turn | undefined> {
    if (!fences.has(id)) {
      const taken = await db
        .updateTable("runbook_runs")
        .set((eb) => ({ lease_owner: owner, fence: eb("fence", "+", 1) }))
        .where("id", "=", id)
        .where("ended_at", "is", null)
        .returning("fence")
        .executeTakeFirst();
      if (taken === undefined) return undefined;
      fences.set(id, taken.fence);
    }
    const run = await db.selectFrom("runbook_runs").selectAll().where("id", "=", id).executeTakeFirst();
    const steps = (await readSteps(db, [id])).get(id) ?? [];
    return run === undefined || run.ended_at !== null ? undefined : { run, steps };
  }

  async function carryOut(turn: Turn): Promise<Until | "ended"> {
    const { run, steps } = turn;
    const what = next(toRecord(run, steps));
    switch (what.kind) {
      case "ended":
        return "ended";
      case "end":
        await end(turn, what.state);
        return "ended";
      case "turn":
        await write(turn, async (tx) => {
          await tx.updateTable("runbook_runs").set({ state: "undoing" }).where("id", "=", run.id).execute();
          return [event(run, "undoing", `${run.runbook} takes back what it has set`)];
        });
        return undefined;
      default: {
        const step = steps[what.position];
        if (step === undefined) throw new Error(`run ${run.id} has no step ${what.position}`);
        if (what.kind === "begin") return begin(turn, step);
        if (what.kind === "look") return look(turn, step);
        if (what.kind === "cut") return cut(turn, step);
        return undo(turn, step);
      }
    }
  }

  async function begin(turn: Turn, step: StepRow): Promise<Until> {
    const { run } = turn;
    const act = findAct(step.act);
    const inputs = inputsOf(step);
    let before: JsonObject = {};
    try {
      if (act === undefined) throw fault("INVALID_ARGUMENT", `this version of the control plane has no act ${step.act}`);
      before = (await act.before?.({ ask: ask(run, step), nowMs: nowMs() }, inputs)) ?? {};
    } catch (caught) {
      if (stopping.signal.aborted) throw caught;
      const problem = Fault.from(caught);
      if (problem.row.retry !== "never" && !isTooLate(turn, step)) return nowMs() + againMs;
      await fail(turn, step, problem, {});
      return undefined;
    }
    const atMs = nowMs();
    await faultpoint(pointOf(step, "before_begin"));
    await write(turn, async (tx) => {
      await change(tx, step, {
        state: act.isForPerson === true ? "waiting" : "running",
        started_at: new Date(atMs),
        deadline_at: new Date(atMs + step.timeout_seconds * 1000),
        before: JSON.stringify(before),
        ...(act.isForPerson === true ? { detail: inputs.message ?? "" } : {}),
      });
      return act.isForPerson === true
        ? [stepEvent(run, step, "waiting", `${run.runbook} waits for a person: ${inputs.message ?? ""}`)]
        : [stepEvent(run, step, "begun", `${run.runbook} begins ${step.name}`)];
    });
    await faultpoint(pointOf(step, "begun"));
    return undefined;
  }

  /** What fails before a step has begun is tried again for as long as the step itself would have. */
  const isTooLate = ({ run, steps }: Turn, step: StepRow): boolean => {
    const since = Math.max(run.started_at.getTime(), ...steps.map(({ ended_at }) => ended_at?.getTime() ?? 0));
    return nowMs() >= since + step.timeout_seconds * 1000;
  };

  async function look(turn: Turn, step: StepRow): Promise<Until> {
    const { run } = turn;
    const deadlineMs = step.deadline_at?.getTime() ?? nowMs();
    const seen = await seeHowFar(turn, step, deadlineMs);
    await faultpoint(pointOf(step, "looked"));
    const made = [...new Set([...madeOf(step), ...(seen.made ?? [])])];
    if (seen.is === "done") {
      const { detail, notice } = seen;
      await write(turn, async (tx) => {
        await change(tx, step, { state: "done", ended_at: new Date(nowMs()), detail: detail.slice(0, 2_000), made: JSON.stringify(made) });
        const told = notice === undefined ? [] : [event(run, "notice", notice)];
        return [...told, stepEvent(run, step, "done", `${run.runbook}: ${step.name} is done: ${detail}`, { made })];
      });
      await faultpoint(pointOf(step, "done"));
      return undefined;
    }
    const isOver = nowMs() >= deadlineMs;
    if (seen.is === "failed" || isOver) {
      const problem =
        seen.is === "failed" ? seen.error : fault("DEADLINE_EXCEEDED", `not done after ${step.timeout_seconds} s: ${seen.detail}`);
      await fail(turn, step, problem, { made: JSON.stringify(made) });
      return undefined;
    }
    const detail = seen.detail.slice(0, 2_000);
    if (detail !== step.detail || made.length !== madeOf(step).length) {
      // How far it is, is no event.
      await write(turn, async (tx) => {
        await change(tx, step, { detail, made: JSON.stringify(made) });
        return [];
      });
    }
    return Math.min(deadlineMs, seen.wakeAtMs ?? (step.state === "waiting" ? deadlineMs : nowMs() + lookMs));
  }

  async function seeHowFar({ run }: Turn, step: StepRow, deadlineMs: number): Promise<Look> {
    const act = findAct(step.act);
    if (act === undefined)
      return { is: "failed", error: fault("INVALID_ARGUMENT", `this version of the control plane has no act ${step.act}`) };
    const doing = {
      ask: ask(run, step),
      cause: causeOf(run.id, step.name),
      nowMs: nowMs(),
      startedAtMs: step.started_at?.getTime() ?? nowMs(),
      isOverdue: nowMs() >= deadlineMs,
      isJustStarted: nowMs() < (startedAtMs ?? 0) + comeBackMs,
      word: wordOf(step),
    };
    try {
      return await act.look(doing, inputsOf(step), beforeOf(step));
    } catch (caught) {
      if (stopping.signal.aborted) throw caught;
      const problem = Fault.from(caught);
      if (problem.row.retry === "never") return { is: "failed", error: problem };
      log.warn({ err: caught, run: run.id, step: step.name }, "runbook.step.tried_again");
      return { is: "going", detail: `tried again: ${problem.message}`, wakeAtMs: nowMs() + againMs };
    }
  }

  async function fail(turn: Turn, step: StepRow, problem: Fault, more: RowChange<"runbook_steps">): Promise<void> {
    const { run } = turn;
    const at = new Date(nowMs());
    await write(turn, async (tx) => {
      await change(tx, step, {
        ...more,
        state: "failed",
        started_at: step.started_at ?? at,
        ended_at: at,
        error: errorColumn(problem),
        detail: problem.message.slice(0, 2_000),
      });
      if (step.on_failure !== "continue")
        await tx
          .updateTable("runbook_runs")
          .set({ error: errorColumn(problem) })
          .where("id", "=", run.id)
          .execute();
      return [stepEvent(run, step, "failed", `${run.runbook}: ${step.name} has failed: ${problem.message}`, { code: problem.code })];
    });
  }

  async function cut(turn: Turn, step: StepRow): Promise<undefined> {
    await write(turn, async (tx) => {
      await change(tx, step, { state: "cancelled", ended_at: new Date(nowMs()) });
      return [
        stepEvent(turn.run, step, "cancelled", `${turn.run.runbook}: ${step.name} was cancelled; what it has begun goes on by itself`),
      ];
    });
    return undefined;
  }

  async function undo(turn: Turn, step: StepRow): Promise<Until> {
    const { run } = turn;
    const key = `${run.id} ${step.position}`;
    const act: Act | undefined = findAct(step.act);
    try {
      const did = await act?.undo?.({ ask: ask(run, step), nowMs: nowMs() }, inputsOf(step), beforeOf(step));
      await faultpoint(pointOf(step, "taken_back"));
      await write(turn, async (tx) => {
        await change(tx, step, { is_undo_settled: true, ...(did === undefined ? {} : takenBack(step, did)) });
        return did === undefined ? [] : [stepEvent(run, step, "undone", `${run.runbook}: ${step.name} is taken back: ${did}`)];
      });
      return undefined;
    } catch (caught) {
      if (stopping.signal.aborted) throw caught;
      const problem = Fault.from(caught);
      const attempt = (undoAttempts.get(key) ?? 0) + 1;
      undoAttempts.set(key, attempt);
      if (problem.row.retry !== "never" && attempt < undoTries) return nowMs() + againMs;
      log.error({ err: caught, run: run.id, step: step.name }, "runbook.step.not_undone");
      const detail = `${step.detail}; could not be taken back: ${problem.message}`.slice(0, 2_000);
      await write(turn, async (tx) => {
        await change(tx, step, { is_undo_settled: true, detail });
        return [stepEvent(run, step, "not_undone", `${run.runbook}: ${step.name} could not be taken back: ${problem.message}`)];
      });
      return undefined;
    }
  }

  async function end(turn: Turn, state: "done" | "failed" | "cancelled"): Promise<void> {
    const { run, steps } = turn;
    const why = steps.find((step) => step.state === "failed" && step.on_failure !== "continue");
    const message =
      state === "done"
        ? `${run.runbook} is done`
        : state === "cancelled"
          ? `${run.runbook} was cancelled by ${run.cancelled_by}`
          : `${run.runbook} has failed at ${why?.name}: ${why?.detail}`;
    await faultpoint("core.runbook.before_end");
    await write(turn, async (tx) => {
      await tx.updateTable("runbook_steps").set({ state: "skipped" }).where("run_id", "=", run.id).where("state", "=", "pending").execute();
      await tx
        .updateTable("runbook_runs")
        .set({ state, ended_at: new Date(nowMs()) })
        .where("id", "=", run.id)
        .execute();
      return [event(run, state, message, { runbook: run.runbook, parameters: run.parameters })];
    });
    log.info({ run: run.id, runbook: run.runbook, state }, "runbook.ended");
    fences.delete(run.id);
    for (const { position } of steps) undoAttempts.delete(`${run.id} ${position}`);
  }

  /** One transaction, with its events. Throws where somebody else has the run in hand: the turn is then begun anew. */
  async function write({ run }: Turn, work: (tx: Kysely<Database>) => Promise<readonly NewEvent[]>): Promise<void> {
    await db.transaction().execute(async (tx) => {
      const mine = await tx
        .updateTable("runbook_runs")
        .set({ lease_owner: owner })
        .where("id", "=", run.id)
        .where("fence", "=", fences.get(run.id) ?? -1)
        .where("ended_at", "is", null)
        .returning("id")
        .executeTakeFirst();
      if (mine === undefined) throw fault("STALE_FENCE", `another one has ${run.id} in hand`);
      await events.append(tx, ...(await work(tx)));
    });
    for (const listener of changed) listener(run.id);
  }

  const change = async (tx: Kysely<Database>, { run_id, position }: StepRow, set: RowChange<"runbook_steps">): Promise<void> => {
    await tx.updateTable("runbook_steps").set(set).where("run_id", "=", run_id).where("position", "=", position).execute();
  };

  const ask = (run: RunRow, step: StepRow): Ask => askAs(options, run, causeOf(run.id, step.name), stopping.signal);

  return {
    wake,
    onChange(listener) {
      changed.add(listener);
      return () => changed.delete(listener);
    },
    async start(signal) {
      startedAtMs = nowMs();
      signal.addEventListener("abort", () => stopping.abort(signal.reason), { once: true });
      const open = await db.selectFrom("runbook_runs").select("id").where("ended_at", "is", null).orderBy("started_at").execute();
      for (const { id } of open) wake(id);
    },
    async stop() {
      stopping.abort(fault("CANCELLED", "the control plane stops"));
      for (const timer of timers.values()) clearTimeout(timer);
      await Promise.all([...running.values()].map(({ done }) => done));
    },
  };
}

/** One that has failed stays so: it is why the run goes backwards. */
const takenBack = ({ state, detail }: StepRow, did: string): RowChange<"runbook_steps"> =>
  state === "done" ? { state: "undone", detail: did } : { detail: `${detail}; taken back: ${did}`.slice(0, 2_000) };

/** core.runbook.pause_moves.looked */
const pointOf = ({ act }: StepRow, moment: string): string => `core.runbook.${act.replaceAll("-", "_")}.${moment}`;

function wordOf({ confirmed_at, confirmed_by, is_refused, confirm_note }: StepRow): Word | undefined {
  return confirmed_at === null ? undefined : { by: confirmed_by ?? "", isRefused: is_refused, note: confirm_note };
}

const event = (run: RunRow, what: string, message: string, data: JsonObject = {}): NewEvent => ({
  type: `runbook.${what}`,
  subject: `runbook-run/${run.id}`,
  message: message.slice(0, 1_000),
  data: { runbook: run.runbook, ...data },
  traceId: run.trace_id,
});

const stepEvent = (run: RunRow, step: StepRow, what: string, message: string, data: JsonObject = {}): NewEvent =>
  event(run, `step.${what}`, message, { step: step.name, act: step.act, ...data });
