// RunbookService: from requests to the library of runbooks, to runs, and back.
import { Fault, fault, parseLabel } from "@aether/contract";
import { type RunbookRun, RunbookService } from "@aether/contract/gen/aether/v2/runbook_pb";
import type { HandlerContext } from "@connectrpc/connect";
import { isAllowed, roleName, roleOf } from "../access/roles.ts";
import { actionName } from "../audit/action-name.ts";
import { callerOf } from "../http/caller.ts";
import type { OwnCall } from "../http/own-call.ts";
import { cutPage, parseNumberPage, parsePage } from "../http/page-request.ts";
import type { Part } from "../part.ts";
import type { Ask } from "./acts/act.ts";
import { acts, findAct } from "./acts/index.ts";
import { type FiringAlert, parseNotification, runForAlerts } from "./alerts.ts";
import { beginRun, previewRun } from "./begin.ts";
import { fillIn, parseRunbook, roleFor } from "./definition.ts";
import { createLibrary } from "./library.ts";
import { createRunner, type RunnerOptions } from "./run.ts";
import { type RunRow, readSteps, requireRun, toRun } from "./store.ts";
import { watchRun } from "./watch.ts";
import { cancelRun, confirmRun } from "./word.ts";

export interface RunbooksOptions extends RunnerOptions {
  /** Behind the gate, for reading as the caller. */
  readonly call: OwnCall;
  /** Called after each change of a run, also of one that is no event. */
  readonly onChange: () => void;
}

export function createRunbooks(options: RunbooksOptions): Part {
  const { db, nowMs, call } = options;
  const library = createLibrary(options);
  const runner = createRunner(options);
  runner.onChange(options.onChange);

  const show = async (run: RunRow): Promise<RunbookRun> => toRun(run, (await readSteps(db, [run.id])).get(run.id) ?? []);
  const showOf = async (id: string) => show(await requireRun(db, id));
  const askFor =
    (context: HandlerContext): Ask =>
    async (method, message) => {
      // Behind the gate nobody else asks: who may look at a runbook may not look through it at what is not his to ask.
      const { role } = callerOf(context);
      if (!isAllowed(roleOf(method), role))
        throw fault("PERMISSION_DENIED", `${actionName(method)} needs the role ${roleName(roleOf(method))}`);
      return call(method, message, context).catch((caught: unknown) => {
        throw Fault.from(caught);
      });
    };

  return {
    routes(router) {
      router.service(RunbookService, {
        async setRunbook({ runbook }, context) {
          const parsed = parseRunbook(runbook);
          library.refuseBuiltIn(parsed.name, "runbook.name");
          return { runbook: await library.set(parsed, callerOf(context)) };
        },
        async validateRunbook({ runbook }) {
          const parsed = parseRunbook(runbook);
          library.refuseBuiltIn(parsed.name, "runbook.name");
          return { requiredRole: roleFor(parsed.steps.flatMap((step) => findAct(step.act) ?? []).map((act) => ({ act }))) };
        },
        listRunbooks: ({ page }) => library.list(parsePage(page)),
        getRunbook: async ({ name, version }) => ({ runbook: await library.find(name, version) }),
        listRunbookVersions: ({ name, page }) => library.versions(name, parseNumberPage(page)),
        async deleteRunbook({ name }, context) {
          await library.remove(name, callerOf(context));
          return {};
        },
        listRunbookActs: async () => ({
          acts: acts.map((act) => ({
            name: act.name,
            description: act.description,
            inputs: act.inputs.map(({ name, type, description, defaultValue, choices = [] }) => ({
              name,
              type,
              description,
              choices: [...choices],
              ...(defaultValue === undefined ? {} : { defaultValue }),
            })),
            requiredRole: roleFor([{ act }]),
            isUndoable: act.undo !== undefined,
            timeoutSeconds: act.timeoutSeconds({}) || 0,
          })),
        }),
        async previewRunbook({ name, parameters }, context) {
          const filled = fillIn(await library.find(name, 0), parameters);
          const steps = await previewRun(filled.steps, callerOf(context), askFor(context), nowMs());
          return { steps, isStartable: steps.every(({ isAllowed }) => isAllowed) && steps[0]?.problems.length === 0 };
        },
        async runRunbook({ name, parameters, version }, context) {
          const runbook = await library.find(name, 0);
          const run = await beginRun(options, { runbook, version }, parameters, callerOf(context), askFor(context));
          runner.wake(run.id);
          return { run: await show(run) };
        },
        async runForAlerts({ name, notification }, context) {
          const runbook = await library.find(name, 0);
          const begin = async (alert: FiringAlert, given: Readonly<Record<string, string>>) => {
            const run = await beginRun(options, { runbook, version: 0 }, given, callerOf(context), askFor(context), alert.key);
            runner.wake(run.id); // at once: a later alert of the same call may fail, and a run that is on record must go on
            return run;
          };
          return { alerts: await runForAlerts(db, runbook, parseNotification(notification), begin) };
        },
        async listRunbookRuns({ page, runbook, activeOnly }) {
          const { limit, after } = parsePage(page);
          let query = db
            .selectFrom("runbook_runs")
            .selectAll()
            .orderBy("id", "desc")
            .limit(limit + 1);
          if (after !== undefined) query = query.where("id", "<", after);
          if (runbook !== "") query = query.where("runbook", "=", parseLabel(runbook, "runbook"));
          if (activeOnly) query = query.where("ended_at", "is", null);
          const { rows, nextPageToken } = cutPage(await query.execute(), limit, ({ id }) => id);
          const ids = rows.map(({ id }) => id);
          const steps = await readSteps(db, ids);
          return { runs: rows.map((row) => toRun(row, steps.get(row.id) ?? [])), nextPageToken };
        },
        getRunbookRun: async ({ id }) => ({ run: await showOf(id) }),
        async *watchRunbookRun({ id }, context) {
          for await (const run of watchRun(runner, id, context.signal, () => showOf(id))) yield { run };
        },
        async cancelRunbookRun({ id, undo }, context) {
          await cancelRun(options, id, undo, callerOf(context));
          runner.wake(id);
          return { run: await showOf(id) };
        },
        async confirmRunbookRun(request, context) {
          await confirmRun(options, request, callerOf(context));
          runner.wake(request.id);
          return { run: await showOf(request.id) };
        },
      });
    },
    start: (signal) => runner.start(signal),
    stop: () => runner.stop(),
  };
}
