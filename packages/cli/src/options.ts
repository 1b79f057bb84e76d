// Options that every command knows, and what a command is given to work with. Light: what is heavy is imported when a command runs.
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Core } from "./client.ts";
import { createOutput, type Output } from "./output.ts";

export interface CommonOptions {
  readonly json?: boolean;
  readonly dir?: string;
  readonly url?: string;
  readonly token?: string;
}

/** A command's surroundings. */
export interface Context {
  readonly output: Output;
  /** The cloud's directory. */
  dir(): Promise<string>;
  /** The way to core. Throws UNAVAILABLE when none is known. */
  core(): Promise<Core>;
  /** Aborts with Ctrl-C, once. */
  readonly signal: AbortSignal;
}

/** Adds --json, --dir, --url and --token. */
export function withCommon(command: Command): Command {
  return withJson(command)
    .addOption(new Option("--dir <dir>", "the local cloud's directory (AETHER_DIR)"))
    .addOption(new Option("--url <url>", "address of core (AETHER_URL)"))
    .addOption(new Option("--token <token>", "credential (AETHER_TOKEN)"));
}

export const withJson = (command: Command): Command => command.option("--json", "print one JSON document on stdout");

/** Wraps a command's work: `program.command(…).action(action(async (context, …) => { … }))`. Arguments come as commander gives them. */
export function action<Args extends unknown[]>(
  work: (context: Context, ...args: Args) => Promise<void>,
): (...args: unknown[]) => Promise<void> {
  return async (...given) => {
    const command = given.at(-1) as Command; // commander's last argument is the command itself
    const options = command.optsWithGlobals<CommonOptions>();
    const controller = new AbortController();
    const interrupt = () => controller.abort(new DOMException("interrupted", "AbortError"));
    process.once("SIGINT", interrupt);
    try {
      await work(createContext(command, options, controller.signal), ...(given.slice(0, -1) as Args));
    } finally {
      process.off("SIGINT", interrupt);
    }
  };
}

function createContext(command: Command, options: CommonOptions, signal: AbortSignal): Context {
  const { writeOut, writeErr } = command.configureOutput(); // where the program was told to write: a test's buffers, else the terminal. They hand on what they get, bytes as well.
  const { isTTY, columns } = process.stdout;
  const dir = async () => {
    const { defaultCloudDir } = await import("@aether/lab");
    const { resolve } = await import("node:path");
    return options.dir === undefined ? defaultCloudDir() : resolve(options.dir);
  };
  return {
    output: createOutput(options.json === true, {
      stdout: { write: (chunk) => writeOut?.(chunk as string), isTTY, columns },
      stderr: { write: (chunk) => writeErr?.(chunk as string) },
    }),
    dir,
    async core() {
      const { findCore, openCore } = await import("./client.ts");
      return openCore(await findCore(options, await dir()));
    },
    signal,
  };
}

/** Parsers of options; what they refuse is a usage error that names the option. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max)
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return value;
  };
}

/** @param what as in "It must be …." */
export function number(what: string, fits: (value: number) => boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || !fits(value)) throw new InvalidArgumentError(`It must be ${what}.`);
    return value;
  };
}
export const aboveZero = number("a number above 0", (value) => value > 0);
export const atLeastZero = number("a number of 0 or more", (value) => value >= 0);

/** Values with commas between them. */
export const listOf =
  <T>(parse: (text: string) => T): ((text: string) => T[]) =>
  (text) =>
    text.split(",").map(parse);

/** 512, 64k, 256M, 2G, with or without iB; in bytes. */
export function byteSize(text: string): bigint {
  const match = /^(\d{1,15})\s*([kmgt])?(i?b)?$/i.exec(text);
  if (match?.[1] === undefined) throw new InvalidArgumentError("It must be a size such as 512M or 2G.");
  const power = match[2] === undefined ? 0 : "kmgt".indexOf(match[2].toLowerCase()) + 1;
  return BigInt(match[1]) * 1024n ** BigInt(power);
}

/** A number of processes and threads, or "none": -1, as the contract has it. */
export const pidsLimit = (text: string): number => (text === "none" ? -1 : wholeNumber(16, 4_194_304)(text));

/** 300ms, 2s, 1.5m; in milliseconds. */
export function durationMs(text: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m)$/.exec(text);
  if (match?.[1] === undefined) throw new InvalidArgumentError("It must be a duration such as 300ms, 2s or 1m.");
  return Number(match[1]) * (match[2] === "ms" ? 1 : match[2] === "s" ? 1000 : 60_000);
}

/** 90s, 5m or 2h; in seconds. */
export function durationSeconds(text: string): number {
  const match = /^(\d{1,6})(s|m|h)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must be a duration such as 60s, 5m or 2h.");
  return Number(match[1]) * { s: 1, m: 60, h: 3600 }[match[2] as "s" | "m" | "h"];
}

/** Collects an option that may be given several times. */
export const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];
