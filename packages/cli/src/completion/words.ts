// The command tree as plain data, as completion needs it.
import type { Command } from "commander";

export interface CommandWords {
  /** "", "migrate", "drill start", … */
  readonly path: string;
  readonly description: string;
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly {
    readonly flag: string;
    readonly description: string;
    readonly choices: readonly string[];
    readonly takesValue: boolean;
  }[];
}

/** Every command with what may follow it; hidden options are left out. */
export function withoutHidden(command: Command, path = ""): CommandWords[] {
  const help = command.createHelp();
  const subcommands = help.visibleCommands(command).filter((sub) => sub.name() !== "help");
  const own: CommandWords = {
    path,
    description: command.description(),
    subcommands: subcommands.map((sub) => ({ name: sub.name(), description: sub.description() })),
    options: help.visibleOptions(command).flatMap((option) =>
      option.long === undefined || option.long === null
        ? []
        : [
            {
              flag: option.long,
              description: option.description,
              choices: option.argChoices ?? [],
              takesValue: option.required || option.optional,
            },
          ],
    ),
  };
  return [own, ...subcommands.flatMap((sub) => withoutHidden(sub, path === "" ? sub.name() : `${path} ${sub.name()}`))];
}
