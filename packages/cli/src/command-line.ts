// From arguments to an exit code: builds the program, runs one command, turns whatever went wrong into words and a number.
import { Command, CommanderError } from "commander";
import { registerAll } from "./commands/index.ts";
import { ExitWith } from "./exit-with.ts";
import { createOutput, reportFault, type Streams } from "./output.ts";

/** Runs `aether ARGS` and answers its exit code. A daemon's command returns when the daemon has stopped. */
export async function runCommandLine(args: readonly string[], streams: Streams = process): Promise<number> {
  const output = createOutput(asksForJson(args), streams);
  const program = await createProgram(streams, args);
  try {
    await program.parseAsync([...args], { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (caught) {
    if (caught instanceof ExitWith) return caught.code;
    if (caught instanceof CommanderError) return usageExit(caught, args, output);
    return await reportFault(caught, output);
  }
}

/** @param asked the words of the command line; undefined: every command with all that it says of itself. */
export async function createProgram(streams: Streams = process, asked?: readonly string[]): Promise<Command> {
  const program = new Command("aether")
    .description("Stateful workloads on Spot Instances that outlive their instances.")
    .version("0.1.0")
    .showSuggestionAfterError()
    .showHelpAfterError("hint: the same with --help shows arguments and examples")
    .exitOverride()
    .configureHelp({ showGlobalOptions: false, sortSubcommands: false, subcommandTerm })
    .configureOutput({
      writeOut: (text) => void streams.stdout.write(text),
      writeErr: (text) => void streams.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "error: ")),
    })
    .addHelpText(
      "after",
      `
Begin with:
  $ aether up                    a small cloud on this machine, with a workload to watch
  $ aether drill start --wait    announce an interruption and see what happens
  $ aether COMMAND --help        what a command does, with examples

Exit codes: 0 done, 1 it failed, 2 usage, 3 the machine lacks something, 4 refused by a rule.`,
    );
  await registerAll(program, asked);
  return program;
}

/** Name and arguments; that there are options goes without saying. */
const subcommandTerm = (command: Command) =>
  [
    command.name(),
    ...command.registeredArguments.map((each) => (each.required ? `<${each.name()}${each.variadic ? "..." : ""}>` : `[${each.name()}]`)),
  ].join(" ");

function usageExit(caught: CommanderError, args: readonly string[], output: ReturnType<typeof createOutput>): number {
  if (caught.exitCode === 0 || caught.code === "commander.help") return caught.code === "commander.help" && args.length > 0 ? 2 : 0;
  if (output.isJson) output.result({ error: { code: "USAGE", message: caught.message.replace(/^error: /, "") } }, () => "");
  return 2;
}

/** `--json` of ours, not of a command that is run after `--`. */
function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end === -1 ? args : args.slice(0, end)).includes("--json");
}
