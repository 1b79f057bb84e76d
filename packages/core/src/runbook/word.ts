// What a person says to a run that is under way.
import { fault, Role } from "@aether/contract";
import { isAllowed } from "../access/roles.ts";
import type { Caller } from "../http/caller.ts";
import type { BeginParts } from "./begin.ts";
import { inputsOf, readSteps, requireRun } from "./store.ts";

/** On the step that waits. Throws RUN_NOT_FOUND, RUN_NOT_WAITING, PERMISSION_DENIED, INVALID_ARGUMENT. */
export async function confirmRun(
  { db, events, nowMs }: BeginParts,
  { id, step, isRefused, note }: { id: string; step: string; isRefused: boolean; note: string },
  { actor, role, traceId }: Caller,
): Promise<void> {
  const run = await requireRun(db, id);
  if (note.length > 1_000) throw fault("INVALID_ARGUMENT", "note is longer than 1000 characters", { field: "note" });
  const steps = (await readSteps(db, [id])).get(id) ?? [];
  const waiting = steps.find(({ state, confirmed_at }) => state === "waiting" && confirmed_at === null);
  if (run.state !== "running" || waiting === undefined) throw fault("RUN_NOT_WAITING", `${id} waits for nobody's word`, { field: "id" });
  if (waiting.name !== step)
    throw fault("RUN_NOT_WAITING", `${id} waits at the step ${waiting.name}, not at ${JSON.stringify(step.slice(0, 60))}`, {
      field: "step",
    });
  const inputs = inputsOf(waiting);
  if (inputs.by === "admin" && !isAllowed(Role.ADMIN, role))
    throw fault("PERMISSION_DENIED", `the step ${step} is for an admin to confirm`);
  if (inputs.other_person === "yes" && actor === run.started_by && !isRefused)
    throw fault("PERMISSION_DENIED", `the step ${step} is for somebody else to confirm than who started the run`, {
      hint: "Ask another person: their word is on record with yours.",
    });
  await db.transaction().execute(async (tx) => {
    const said = await tx
      .updateTable("runbook_steps")
      .set({ confirmed_by: actor, confirmed_at: new Date(nowMs()), is_refused: isRefused, confirm_note: note })
      .where("run_id", "=", id)
      .where("position", "=", waiting.position)
      .where("state", "=", "waiting")
      .where("confirmed_at", "is", null)
      .returning("run_id")
      .executeTakeFirst();
    if (said === undefined) throw fault("RUN_NOT_WAITING", `${id} has somebody's word on ${step} already`, { field: "step" });
    await events.append(tx, {
      type: isRefused ? "runbook.step.refused" : "runbook.step.confirmed",
      subject: `runbook-run/${id}`,
      message: `${actor} has ${isRefused ? "refused" : "confirmed"} ${step} of ${run.runbook}${note === "" ? "" : `: ${note}`}`,
      data: { runbook: run.runbook, step },
      traceId,
    });
  });
}

/** Twice changes nothing. Throws RUN_NOT_FOUND, RUN_ENDED. */
export async function cancelRun({ db, events }: BeginParts, id: string, undo: boolean, { actor, traceId }: Caller): Promise<void> {
  const run = await requireRun(db, id);
  if (run.is_cancel_requested && run.ended_at === null) return;
  await db.transaction().execute(async (tx) => {
    const cancelled = await tx
      .updateTable("runbook_runs")
      .set({ is_cancel_requested: true, is_undo_requested: undo, cancelled_by: actor })
      .where("id", "=", id)
      .where("state", "=", "running")
      .returning("id")
      .executeTakeFirst();
    if (cancelled === undefined) throw fault("RUN_ENDED", `${id} is ${run.state}`, { field: "id" });
    await events.append(tx, {
      type: "runbook.cancel_requested",
      subject: `runbook-run/${id}`,
      message: `${actor} has cancelled ${run.runbook}${undo ? ", and what it has set is taken back" : ""}`,
      data: { runbook: run.runbook, undo },
      traceId,
    });
  });
}
