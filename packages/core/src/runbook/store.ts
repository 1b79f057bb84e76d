// Runs and their steps as rows, as what `next` decides about, and as messages. Every write of the runner names the fence that it holds; what a person says
// (cancel, confirm) has columns of its own, which the runner never writes.
import { type Fault, fault } from "@aether/contract";
import { ErrorDetailSchema } from "@aether/contract/gen/aether/v2/common_pb";
import {
  type Runbook,
  type RunbookRun,
  RunbookRunSchema,
  RunbookSchema,
  RunState,
  type RunStep,
  RunStepSchema,
  RunStepState,
  StepFailure,
} from "@aether/contract/gen/aether/v2/runbook_pb";
import { create } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import { z } from "zod";
import { roleOfBearer } from "../access/roles.ts";
import { fromColumn, fromColumnOrNone, stamp, toColumn } from "../db/proto.ts";
import type { Database, Row } from "../db/schema.ts";
import type { Inputs } from "./acts/act.ts";
import { findAct } from "./acts/index.ts";
import type { OnFailureText, RunRecord, RunStateText, StepStateText } from "./state.ts";

export type RunRow = Row<"runbook_runs">;
export type StepRow = Row<"runbook_steps">;

const texts = z.record(z.string(), z.string());
const list = z.array(z.string());
const standing = z.record(z.string(), z.json());

export const inputsOf = ({ inputs }: Pick<StepRow, "inputs">): Inputs => texts.parse(inputs);
export const madeOf = ({ made }: Pick<StepRow, "made">): string[] => list.parse(made);
export const beforeOf = ({ before }: Pick<StepRow, "before">) => (before === null ? {} : standing.parse(before));

export const errorColumn = ({ code, message, hint, field = "" }: Fault): string =>
  toColumn(ErrorDetailSchema, create(ErrorDetailSchema, { code, message: message.slice(0, 2_000), hint, field }));

export async function readSteps(db: Kysely<Database>, runIds: readonly string[]): Promise<Map<string, StepRow[]>> {
  const found = new Map<string, StepRow[]>(runIds.map((id) => [id, []]));
  if (runIds.length === 0) return found;
  const rows = await db
    .selectFrom("runbook_steps")
    .selectAll()
    .where("run_id", "in", runIds)
    .orderBy("run_id")
    .orderBy("position")
    .execute();
  for (const row of rows) found.get(row.run_id)?.push(row);
  return found;
}

/** Throws RUN_NOT_FOUND. */
export async function requireRun(db: Kysely<Database>, id: string): Promise<RunRow> {
  const row = await db.selectFrom("runbook_runs").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw fault("RUN_NOT_FOUND", `there is no run ${JSON.stringify(id.slice(0, 60))}`, { field: "id" });
  return row;
}

export const toRecord = (run: RunRow, steps: readonly StepRow[]): RunRecord => ({
  state: run.state,
  isCancelRequested: run.is_cancel_requested,
  isUndoRequested: run.is_undo_requested,
  steps: steps.map(({ state, on_failure, act, is_undo_settled }) => ({
    state,
    onFailure: on_failure,
    isUndoable: findAct(act)?.undo !== undefined,
    isUndoSettled: is_undo_settled,
  })),
});

const failures: Readonly<Record<OnFailureText, StepFailure>> = {
  stop: StepFailure.STOP,
  continue: StepFailure.CONTINUE,
  undo: StepFailure.UNDO,
};
export const failureText = (failure: StepFailure): OnFailureText =>
  failure === StepFailure.UNDO ? "undo" : failure === StepFailure.CONTINUE ? "continue" : "stop";

const stepStates: Readonly<Record<StepStateText, RunStepState>> = {
  pending: RunStepState.PENDING,
  running: RunStepState.RUNNING,
  waiting: RunStepState.WAITING,
  done: RunStepState.DONE,
  failed: RunStepState.FAILED,
  skipped: RunStepState.SKIPPED,
  undone: RunStepState.UNDONE,
  cancelled: RunStepState.CANCELLED,
};
const runStates: Readonly<Record<RunStateText, RunState>> = {
  running: RunState.RUNNING,
  undoing: RunState.UNDOING,
  done: RunState.DONE,
  failed: RunState.FAILED,
  cancelled: RunState.CANCELLED,
};

export function toRun(run: RunRow, steps: readonly StepRow[]): RunbookRun {
  const isWaiting = run.state === "running" && steps.some(({ state, confirmed_at }) => state === "waiting" && confirmed_at === null);
  const error = fromColumnOrNone(ErrorDetailSchema, run.error);
  return create(RunbookRunSchema, {
    id: run.id,
    runbook: run.runbook,
    version: run.version,
    state: isWaiting ? RunState.WAITING : runStates[run.state],
    ...stamp("startedAt", run.started_at),
    ...stamp("endedAt", run.ended_at),
    startedBy: run.started_by,
    role: roleOfBearer[run.role],
    parameters: texts.parse(run.parameters),
    steps: steps.map(toStep),
    isCancelRequested: run.is_cancel_requested,
    cancelledBy: run.cancelled_by,
    ...(error === undefined ? {} : { error }),
    traceId: run.trace_id,
    alert: run.alert,
  });
}

function toStep(row: StepRow): RunStep {
  const error = fromColumnOrNone(ErrorDetailSchema, row.error);
  return create(RunStepSchema, {
    name: row.name,
    act: row.act,
    inputs: texts.parse(row.inputs),
    state: stepStates[row.state],
    ...stamp("startedAt", row.started_at),
    ...stamp("endedAt", row.ended_at),
    ...stamp("deadlineAt", row.deadline_at),
    onFailure: failures[row.on_failure],
    detail: row.detail,
    made: madeOf(row),
    ...(error === undefined ? {} : { error }),
    confirmedBy: row.confirmed_by ?? "",
    ...stamp("confirmedAt", row.confirmed_at),
    confirmNote: row.confirm_note,
  });
}

export function toRunbook({ definition, name, version, changed_at, changed_by }: Row<"runbooks">): Runbook {
  return create(RunbookSchema, {
    ...fromColumn(RunbookSchema, definition),
    name,
    version,
    ...stamp("changedAt", changed_at),
    changedBy: changed_by,
  });
}
