// aether runbook list|show|acts|validate|add|rm: what can be run; runs have a file of their own.
import type { Runbook } from "@aether/contract/gen/aether/v2/runbook_pb";
import type { Command } from "commander";
import { action, type Context, wholeNumber, withCommon } from "../../options.ts";
import { registerRuns } from "./runs.ts";

const deadline = 15_000;

export function registerRunbook(program: Command): void {
  const runbook = program.command("runbook").description("named steps that the control plane runs one after the other, for you");
  runbook.addHelpText(
    "after",
    "\nA step is one of a closed set of acts (aether runbook acts), each of which the API has anyway; there is no shell. A run acts with the role and the" +
      "\nname of who started it, goes on over a restart of the control plane, and does nothing twice." +
      "\n\nExamples:\n  $ aether runbook list\n  $ aether runbook run retire-node node=n1 --dry-run\n  $ aether runbook run retire-node node=n1 --wait",
  );
  withCommon(runbook.command("list").alias("ls"))
    .description("what can be run")
    .addHelpText("after", "\nExamples:\n  $ aether runbook list")
    .action(action(list));
  withCommon(runbook.command("show <name>"))
    .description("one runbook, as the YAML that `add` takes")
    .option("--at <version>", "an older version", wholeNumber(1, 1_000_000))
    .option("--versions", "all versions, the newest first; also of one that is deleted")
    .addHelpText("after", "\nExamples:\n  $ aether runbook show retire-node > mine.yaml\n  $ aether runbook show mine --versions")
    .action(action(show));
  withCommon(runbook.command("acts"))
    .description("what a step can do, with its inputs")
    .addHelpText("after", "\nExamples:\n  $ aether runbook acts")
    .action(action(listActs));
  withCommon(runbook.command("validate <file>"))
    .description("is it whole? Names the field that is not; nothing is stored. - reads stdin")
    .addHelpText("after", "\nExamples:\n  $ aether runbook validate mine.yaml")
    .action(action(validate));
  withCommon(runbook.command("add <file>"))
    .description("make it, or a new version of it; runs under way go on as they began. - reads stdin")
    .addHelpText("after", "\nExamples:\n  $ aether runbook add mine.yaml")
    .action(action(add));
  withCommon(runbook.command("rm <name>"))
    .description("it cannot be run any more; its versions and runs stay readable")
    .addHelpText("after", "\nExamples:\n  $ aether runbook rm mine")
    .action(
      action(async ({ core, output, signal }, name: string) => {
        const { RunbookService } = await import("@aether/contract/gen/aether/v2/runbook_pb");
        await (await core()).client(RunbookService).deleteRunbook({ name }, { signal, timeoutMs: deadline });
        output.result({ deleted: name }, () => `${name} is deleted; its versions: aether runbook show ${name} --versions`);
      }),
    );
  registerRuns(runbook);
}

async function list({ core, output, signal }: Context): Promise<void> {
  const { ListRunbooksResponseSchema, RunbookService } = await import("@aether/contract/gen/aether/v2/runbook_pb");
  const { toPlain } = await import("../../plain.ts");
  const { everyPage } = await import("../../pages.ts");
  const { renderRunbooks } = await import("../../render/runbook.ts");
  const client = (await core()).client(RunbookService);
  const runbooks = await everyPage(async (page) => {
    const answer = await client.listRunbooks({ page }, { signal, timeoutMs: deadline });
    return { items: answer.runbooks, nextPageToken: answer.nextPageToken };
  });
  output.result(toPlain(ListRunbooksResponseSchema, { runbooks }), () => renderRunbooks(runbooks, output.width));
}

async function show({ core, output, signal }: Context, name: string, flags: { at?: number; versions?: true }): Promise<void> {
  const { ListRunbookVersionsResponseSchema, RunbookSchema, RunbookService } = await import("@aether/contract/gen/aether/v2/runbook_pb");
  const { toPlain } = await import("../../plain.ts");
  const client = (await core()).client(RunbookService);
  if (flags.versions !== true) {
    const { runbook } = await client.getRunbook({ name, version: flags.at ?? 0 }, { signal, timeoutMs: deadline });
    const { writeRunbook } = await import("@aether/contract/runbook-file");
    return output.result(toPlain(RunbookSchema, runbook ?? {}), () => (runbook === undefined ? "" : writeRunbook(runbook)));
  }
  const { everyPage } = await import("../../pages.ts");
  const { renderVersions } = await import("../../render/runbook.ts");
  const runbooks: Runbook[] = await everyPage(async (page) => {
    const answer = await client.listRunbookVersions({ name, page }, { signal, timeoutMs: deadline });
    return { items: answer.runbooks, nextPageToken: answer.nextPageToken };
  });
  output.result(toPlain(ListRunbookVersionsResponseSchema, { runbooks }), () => renderVersions(runbooks, output.width));
}

async function listActs({ core, output, signal }: Context): Promise<void> {
  const { ListRunbookActsResponseSchema, RunbookService } = await import("@aether/contract/gen/aether/v2/runbook_pb");
  const { toPlain } = await import("../../plain.ts");
  const { renderActs } = await import("../../render/runbook.ts");
  const answer = await (await core()).client(RunbookService).listRunbookActs({}, { signal, timeoutMs: deadline });
  output.result(toPlain(ListRunbookActsResponseSchema, answer), () => renderActs(answer.acts));
}

interface Written {
  readonly runbook: Runbook;
  /** What the control plane refuses of it, with the line that it is on. */
  readonly placed: (caught: unknown) => Promise<never>;
}

/** Throws INVALID_ARGUMENT. */
async function fromFile(file: string): Promise<Written> {
  const { readFile } = await import("node:fs/promises");
  const { text } = await import("node:stream/consumers");
  const { Fault, fault } = await import("@aether/contract");
  const { placeOf, readRunbook } = await import("@aether/contract/runbook-file");
  const said = await (file === "-" ? text(process.stdin) : readFile(file, "utf8")).catch((cause: unknown) => {
    throw fault("INVALID_ARGUMENT", `${file} cannot be read: ${cause instanceof Error ? cause.message : ""}`, { field: "file", cause });
  });
  const placed = async (caught: unknown): Promise<never> => {
    const problem = Fault.from(caught);
    const { code, message, field = "", hint, details } = problem;
    const place = placeOf(said, field);
    if (place === undefined) throw problem;
    throw fault(code, `${file === "-" ? "line " : `${file}:`}${place.line}: ${message}`, { field, hint, details, cause: problem });
  };
  try {
    return { runbook: readRunbook(said), placed };
  } catch (caught) {
    return placed(caught);
  }
}

async function validate({ core, output, signal }: Context, file: string): Promise<void> {
  const { RunbookService, ValidateRunbookResponseSchema } = await import("@aether/contract/gen/aether/v2/runbook_pb");
  const { Role } = await import("@aether/contract");
  const { toPlain } = await import("../../plain.ts");
  const { word } = await import("../../render/units.ts");
  const { runbook, placed } = await fromFile(file);
  const answer = await (await core()).client(RunbookService).validateRunbook({ runbook }, { signal, timeoutMs: deadline }).catch(placed);
  output.result(
    toPlain(ValidateRunbookResponseSchema, answer),
    () => `${runbook.name} is whole; who runs it needs the role ${word(Role, answer.requiredRole)}`,
  );
}

async function add({ core, output, signal }: Context, file: string): Promise<void> {
  const { RunbookSchema, RunbookService } = await import("@aether/contract/gen/aether/v2/runbook_pb");
  const { toPlain } = await import("../../plain.ts");
  const { runbook, placed } = await fromFile(file);
  const { runbook: made } = await (await core())
    .client(RunbookService)
    .setRunbook({ runbook }, { signal, timeoutMs: deadline })
    .catch(placed);
  output.result(
    toPlain(RunbookSchema, made ?? {}),
    () => `${runbook.name} is there, version ${made?.version}\nWhat it would do: aether runbook run ${runbook.name} --dry-run`,
  );
}
