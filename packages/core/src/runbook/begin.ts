// A run before it runs: what it would do, and its beginning, refused before anything is done.
import { Fault, fault, Role } from "@aether/contract";
import { NodeService } from "@aether/contract/gen/aether/v2/node_pb";
import { type Runbook, type StepPreview, StepPreviewSchema } from "@aether/contract/gen/aether/v2/runbook_pb";
import { WorkloadService } from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import { isAllowed, roleName } from "../access/roles.ts";
import type { Db } from "../db/database.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { Events } from "../events/events.ts";
import type { Caller } from "../http/caller.ts";
import { newId } from "../ids.ts";
import type { Ask, Preview } from "./acts/act.ts";
import { type FilledStep, fillIn, roleFor } from "./definition.ts";
import { credentialOf } from "./starter.ts";
import { failureText, type RunRow } from "./store.ts";

export interface BeginParts {
  readonly db: Db;
  readonly events: Events;
  readonly nowMs: () => number;
}

const mostRuns = 50;

const mayDo = ({ act }: FilledStep, role: Role): boolean => isAllowed(roleFor([{ act }]), role);

/** Of each step with the parameters in place. Changes nothing. */
export async function previewRun(steps: readonly FilledStep[], caller: Caller, ask: Ask, nowMs: number): Promise<StepPreview[]> {
  const shown: StepPreview[] = [];
  for (const step of steps) {
    const { name, act, inputs } = step;
    const seen: Preview = await act
      .preview({ ask, nowMs }, inputs)
      .catch((caught: unknown) => ({ would: act.description, problems: [Fault.from(caught).message] }));
    const { would, effects = [], problems = [] } = seen;
    const said = { would, effects: [...effects], problems: [...problems] };
    shown.push(create(StepPreviewSchema, { name, act: act.name, inputs: { ...inputs }, ...said, isAllowed: mayDo(step, caller.role) }));
  }
  return shown;
}

/** What a parameter names must be there. */
async function requireNamed({ parameters }: Runbook, values: Readonly<Record<string, string>>, ask: Ask): Promise<void> {
  for (const { name, type } of parameters) {
    const value = values[name] ?? "";
    if (value === "" || (type !== "node" && type !== "workload")) continue;
    const asked =
      type === "node" ? ask(NodeService.method.getNode, { id: value }) : ask(WorkloadService.method.getWorkload, { name: value });
    await asked.catch((caught: unknown) => {
      const { code, message } = Fault.from(caught);
      throw fault(code, message, { field: `parameters.${name}` });
    });
  }
}

/**
 * Puts a run on record; it is brought on by the runner. Throws INVALID_ARGUMENT, NODE_NOT_FOUND, WORKLOAD_NOT_FOUND (each names the parameter),
 * PERMISSION_DENIED, RUN_UNDER_WAY (`details.runId`), PRECONDITION_FAILED. @param alert what it is begun for; an alert that has begun a run already throws
 * RUN_UNDER_WAY too, as the database itself sees it.
 */
export async function beginRun(
  { db, events, nowMs }: BeginParts,
  { runbook, version }: { readonly runbook: Runbook /** The only one that is meant; 0: any. */; readonly version: number },
  given: Readonly<Record<string, string>>,
  caller: Caller,
  ask: Ask,
  alert = "",
): Promise<RunRow> {
  if (version !== 0 && version !== runbook.version)
    throw fault("PRECONDITION_FAILED", `${runbook.name} is at version ${runbook.version} now, not ${version}`, { field: "version" });
  const { parameters, steps } = fillIn(runbook, given);
  const needed = roleFor(steps);
  if (!isAllowed(needed, caller.role)) {
    const which = steps.find((step) => !mayDo(step, caller.role));
    throw fault("PERMISSION_DENIED", `the step ${which?.name} (${which?.act.name}) needs the role ${roleName(needed)}`);
  }
  const credential = credentialOf(caller);
  await requireNamed(runbook, parameters, ask);
  const id = newId("run", nowMs());
  const run = await db
    .transaction()
    .execute(async (tx) => {
      const { count } = await tx
        .selectFrom("runbook_runs")
        .select(({ fn }) => fn.countAll<string>().as("count"))
        .where("ended_at", "is", null)
        .executeTakeFirstOrThrow();
      if (Number(count) >= mostRuns)
        throw fault("PRECONDITION_FAILED", `${mostRuns} runs are under way already`, { hint: "Cancel one, or wait until it has ended." });
      const made = await tx
        .insertInto("runbook_runs")
        .values({
          id,
          runbook: runbook.name,
          version: runbook.version,
          state: "running",
          parameters: JSON.stringify(parameters),
          started_at: new Date(nowMs()),
          started_by: caller.actor,
          role: isAllowed(Role.ADMIN, caller.role) ? "admin" : "operator",
          credential,
          source_address: caller.sourceAddress,
          trace_id: caller.traceId,
          alert,
        })
        .returningAll()
        .executeTakeFirstOrThrow();
      await tx
        .insertInto("runbook_steps")
        .values(
          steps.map(({ name, act, inputs, onFailure, timeoutSeconds }, position) => ({
            run_id: id,
            position,
            name,
            act: act.name,
            inputs: JSON.stringify(inputs),
            on_failure: failureText(onFailure),
            timeout_seconds: timeoutSeconds,
          })),
        )
        .execute();
      await events.append(tx, {
        type: "runbook.started",
        subject: `runbook-run/${id}`,
        message: `${caller.actor} has started the runbook ${runbook.name}${alert === "" ? "" : ` for the alert ${alert}`}`,
        data: { runbook: runbook.name, version: runbook.version, parameters, ...(alert === "" ? {} : { alert }) },
        traceId: caller.traceId,
      });
      return made;
    })
    .catch(async (caught: unknown) => {
      const isKnownAlert = isUniqueViolation(caught, "runbook_runs_one_alert");
      if (!isKnownAlert && !isUniqueViolation(caught, "runbook_runs_one_active")) throw caught;
      const other = await db
        .selectFrom("runbook_runs")
        .select("id")
        .where("runbook", "=", runbook.name)
        .where((eb) => (isKnownAlert ? eb("alert", "=", alert) : eb("ended_at", "is", null)))
        .orderBy("id", "desc")
        .executeTakeFirst();
      throw fault("RUN_UNDER_WAY", `${runbook.name} runs with these parameters already`, { details: { runId: other?.id ?? "" } });
    });
  return run;
}
