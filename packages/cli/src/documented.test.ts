// Whoever copies a command out of the documentation, or follows the hint of an error, finds that it exists.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { faults } from "@aether/contract";
import { Command } from "commander";
import { expect, it } from "vitest";
import { registerAll } from "./commands/index.ts";

const root = join(import.meta.dirname, "../../..");

/** What is written as code and begins with the command's name: a span, or a line of a block. */
function commandsIn(text: string): string[] {
  const spans = [...text.matchAll(/`(?:npx )?aether ([^`\n]+)`/g)].map(([, words = ""]) => words);
  const blocks = [...text.matchAll(/^```\w*\n(.*?)^```/gms)].flatMap(([, block = ""]) =>
    [...block.matchAll(/^(?:\$ )?(?:sudo )?(?:npx )?aether (.+?)(?: +#.*)?$/gm)].map(([, words = ""]) => words),
  );
  return [...spans, ...blocks];
}

/** What is wrong with it; undefined when the command, its subcommand and each of its long options are there. */
function wrongWith(program: Command, line: string): string | undefined {
  const words = line.split(/\s+/);
  let command = program;
  const options = new Set(["--help", "--version", ...program.options.map(({ long }) => long)]);
  let at = 0;
  for (; at < words.length; at++) {
    // "list|show" and "run/receipt" are several: the first stands for all
    const word = words[at]?.split(/[|/]/)[0] ?? "";
    const next = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
    if (next === undefined) break;
    command = next;
    for (const { long } of next.options) options.add(long ?? "");
  }
  const rest = words.slice(at);
  if (command === program && !rest[0]?.startsWith("-")) return `there is no command ${rest[0]}`;
  if (command !== program && command.registeredArguments.length === 0 && command.commands.length > 0 && /^[a-z]/.test(rest[0] ?? ""))
    return `${command.name()} has no ${rest[0]}`;
  const ends = rest.indexOf("--");
  for (const word of ends < 0 ? rest : rest.slice(0, ends)) {
    const [option] = /^--[a-z][a-z-]*/.exec(word) ?? [];
    if (option !== undefined && !options.has(option)) return `${command.name()} has no ${option}`;
  }
  return undefined;
}

it("every command that is written down exists, with its options", async () => {
  const program = new Command("aether");
  await registerAll(program);
  const pages = globSync(["*.md", "docs/**/*.md"], { cwd: root }).map((page) => [page, readFileSync(join(root, page), "utf8")] as const);
  const hints = Object.entries(faults).map(([code, { hint }]) => [code, hint] as const);
  const found = [...pages, ...hints].flatMap(([where, text]) => commandsIn(text).map((line) => ({ where, line })));
  expect(found.length).toBeGreaterThan(200);
  expect(wrongWith(program, "runbook show NAME --yaml")).toBe("show has no --yaml");
  const wrong = found.flatMap(({ where, line }) => {
    const what = wrongWith(program, line);
    return what === undefined ? [] : [`${where}: aether ${line}: ${what}`];
  });
  expect(wrong).toEqual([]);
});
