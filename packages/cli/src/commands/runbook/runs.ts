// aether runbook run|runs|watch|confirm|cancel: what is run.
import type { RunbookRun } from "@aether/contract/gen/aether/v2/runbook_pb";
import type { Command } from "commander";
import { ExitWith } from "../../exit-with.ts";
import { action, type Context, withCommon } from "../../options.ts";

const deadline = 15_000;
/** Looking at a large fleet takes its time. */
const previewDeadline = 60_000;

export function registerRuns(runbook: Command): void {
  withCommon(runbook.command("run <name> [parameters...]"))
    .description("begin a run; parameters as NAME=VALUE. It goes on by itself; --wait follows it to its end")
    .option("--dry-run", "what each step would do now, and what would stop it; nothing is done")
    .option("--wait", "until it has ended; exit 0 only when it is done")
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether runbook run retire-node node=n1 --dry-run\n  $ aether runbook run retire-node node=n1 --wait" +
        "\n  $ aether runbook run maintenance reason='new switch'    # waits for: aether runbook confirm RUN",
    )
    .action(action(run));
  withCommon(runbook.command("runs"))
    .description("what was run, the newest first")
    .option("--runbook <name>", "only runs of this one")
    .option("--active", "only those under way")
    .addHelpText("after", "\nExamples:\n  $ aether runbook runs --active")
    .action(action(runs));
  withCommon(runbook.command("watch <run>"))
    .description("a run with its steps: as it is, and until it has ended; exit 0 only when it is done")
    .option("--now", "only as it is now")
    .addHelpText("after", "\nExamples:\n  $ aether runbook watch run-01…\n  $ aether runbook watch run-01… --now --json")
    .action(
      action(async (context, id: string, { now }: { now?: true }) => {
        const { RunbookService } = await import("@aether/contract/gen/aether/v2/runbook_pb");
        if (now !== true) return follow(context, id);
        const { run: found } = await (await context.core())
          .client(RunbookService)
          .getRunbookRun({ id }, { signal: context.signal, timeoutMs: deadline });
        await show(context, found);
      }),
    );
  withCommon(runbook.command("confirm <run> [step]"))
    .description("your word on the step that waits for a person; by default the one that waits")
    .option("--refuse", "it has failed, instead")
    .option("--note <text>", "kept with the run", "")
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether runbook confirm run-01… --note 'seen in the console: terminated'\n  $ aether runbook confirm run-01… --refuse",
    )
    .action(action(confirm));
  withCommon(runbook.command("cancel <run>"))
    .description("no further step begins; what the step under way has begun (moves, a drill) goes on by itself")
    .option("--undo", "what the steps before have set is taken back: cordons, the kill switch")
    .addHelpText("after", "\nExamples:\n  $ aether runbook cancel run-01… --undo")
    .action(
      action(async (context, id: string, { undo }: { undo?: true }) => {
        const { RunbookService } = await import("@aether/contract/gen/aether/v2/runbook_pb");
        const client = (await context.core()).client(RunbookService);
        const { run: found } = await client.cancelRunbookRun({ id, undo: undo === true }, { signal: context.signal, timeoutMs: deadline });
        await show(context, found);
      }),
    );
}

/** Throws INVALID_ARGUMENT. */
async function parametersOf(words: readonly string[]): Promise<Record<string, string>> {
  const { fault } = await import("@aether/contract");
  const found = new Map<string, string>();
  for (const word of words) {
    const match = /^([a-z][a-z0-9_]*)=(.*)$/s.exec(word);
    if (match?.[1] === undefined || found.has(match[1]))
      throw fault("INVALID_ARGUMENT", `a parameter is NAME=VALUE, each once, not ${JSON.stringify(word.slice(0, 60))}`, {
        field: "parameters",
      });
    found.set(match[1], match[2] ?? "");
  }
  return Object.fromEntries(found);
}

async function run(context: Context, name: string, words: readonly string[], flags: { dryRun?: true; wait?: true }): Promise<void> {
  const { PreviewRunbookResponseSchema, RunbookService } = await import("@aether/contract/gen/aether/v2/runbook_pb");
  const { toPlain } = await import("../../plain.ts");
  const { core, output, signal } = context;
  const parameters = await parametersOf(words);
  const client = (await core()).client(RunbookService);
  if (flags.dryRun === true) {
    const answer = await client.previewRunbook({ name, parameters }, { signal, timeoutMs: previewDeadline });
    const { renderPreview } = await import("../../render/runbook.ts");
    output.result(toPlain(PreviewRunbookResponseSchema, answer), () => renderPreview(answer));
    if (!answer.isStartable) throw new ExitWith(1);
    return;
  }
  const { run: begun } = await client.runRunbook({ name, parameters }, { signal, timeoutMs: deadline });
  if (begun === undefined) return;
  if (flags.wait === true) return follow(context, begun.id);
  await show(context, begun);
  output.say(`it goes on by itself; follow it: aether runbook watch ${begun.id}`);
}

async function show({ output }: Context, found: RunbookRun | undefined): Promise<void> {
  const { RunbookRunSchema } = await import("@aether/contract/gen/aether/v2/runbook_pb");
  const { toPlain } = await import("../../plain.ts");
  const { describeRun } = await import("../../render/runbook.ts");
  output.result(toPlain(RunbookRunSchema, found ?? {}), () => (found === undefined ? "" : describeRun(found)));
}

async function follow(context: Context, id: string): Promise<void> {
  const { RunbookService, RunState, RunStepState } = await import("@aether/contract/gen/aether/v2/runbook_pb");
  const { followRun } = await import("./follow-run.ts");
  const { stepLine } = await import("../../render/runbook.ts");
  const { core, output, signal } = context;
  const said = new Map<string, string>();
  const tell = ({ steps }: RunbookRun) => {
    for (const step of steps) {
      if (step.state === RunStepState.PENDING || step.state === RunStepState.SKIPPED) continue;
      const line = stepLine(step);
      if (said.get(step.name) === line) continue;
      said.set(step.name, line);
      output.say(line);
      if (step.state === RunStepState.WAITING && step.confirmedAt === undefined) output.say(`  aether runbook confirm ${id} ${step.name}`);
    }
  };
  output.say(id);
  const ended = await followRun((await core()).client(RunbookService), id, signal, tell, output.say);
  if (signal.aborted) {
    output.say(`it goes on without us; follow it: aether runbook watch ${id}, or cancel it: aether runbook cancel ${id}`);
    throw new ExitWith(1);
  }
  await show(context, ended);
  if (ended?.state !== RunState.DONE) throw new ExitWith(1);
}

async function runs({ core, output, signal }: Context, flags: { runbook?: string; active?: true }): Promise<void> {
  const { ListRunbookRunsResponseSchema, RunbookService } = await import("@aether/contract/gen/aether/v2/runbook_pb");
  const { toPlain } = await import("../../plain.ts");
  const { everyPage } = await import("../../pages.ts");
  const { renderRuns } = await import("../../render/runbook.ts");
  const client = (await core()).client(RunbookService);
  const found = await everyPage(async (page) => {
    const answer = await client.listRunbookRuns(
      { page, runbook: flags.runbook ?? "", activeOnly: flags.active === true },
      { signal, timeoutMs: deadline },
    );
    return { items: answer.runs, nextPageToken: answer.nextPageToken };
  }, 200);
  output.result(toPlain(ListRunbookRunsResponseSchema, { runs: found }), () => renderRuns(found, output.width, Date.now()));
}

async function confirm(context: Context, id: string, step: string | undefined, flags: { refuse?: true; note: string }): Promise<void> {
  const { RunbookService, RunStepState } = await import("@aether/contract/gen/aether/v2/runbook_pb");
  const { fault } = await import("@aether/contract");
  const { core, output, signal } = context;
  const client = (await core()).client(RunbookService);
  let named = step;
  if (named === undefined) {
    const { run: found } = await client.getRunbookRun({ id }, { signal, timeoutMs: deadline });
    const waiting = found?.steps.find(({ state, confirmedAt }) => state === RunStepState.WAITING && confirmedAt === undefined);
    if (waiting === undefined) throw fault("RUN_NOT_WAITING", `${id} waits for nobody's word`, { field: "run" });
    output.say(`${waiting.name}: ${waiting.detail}`);
    named = waiting.name;
  }
  const { run: found } = await client.confirmRunbookRun(
    { id, step: named, isRefused: flags.refuse === true, note: flags.note },
    { signal, timeoutMs: deadline },
  );
  await show(context, found);
}
