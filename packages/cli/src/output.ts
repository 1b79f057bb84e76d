// What a command says: its result on stdout, everything else on stderr. With --json, stdout gets exactly one JSON document.
import { exitCodeOf } from "./exit-code.ts";

export interface Output {
  readonly isJson: boolean;
  /** Columns of the terminal; 100 where stdout is none. */
  readonly width: number;
  /** The result: the JSON document, or the text made by `human`. Once. */
  result(json: unknown, human: () => string): void;
  /** Progress, on stderr. */
  say(text: string): void;
  /** The result of a command that streams (logs, events): bytes as they come. */
  stream(chunk: string | Uint8Array): void;
  /** What a command inside a workload wrote to its stderr. */
  streamError(chunk: Uint8Array): void;
}

export interface Streams {
  readonly stdout: { write(chunk: string | Uint8Array): unknown; readonly columns?: number; readonly isTTY?: boolean };
  readonly stderr: { write(chunk: string | Uint8Array): unknown };
}

/**
 * What came from a workload, a node or another person may hold what a terminal takes for a command (a title, a clipboard, a cursor): it is shown, not sent.
 * The bytes of a workload's own output (`logs`, `exec`) go out as they are, as from any program.
 */
export const printable = (text: string): string =>
  text.replaceAll(/(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);

export function createOutput(isJson: boolean, streams: Streams = process): Output {
  return {
    isJson,
    width: streams.stdout.isTTY ? (streams.stdout.columns ?? 100) : 100,
    result(json, human) {
      if (isJson) streams.stdout.write(`${JSON.stringify(json, bigintAsText, 2)}\n`);
      else {
        const text = printable(human());
        if (text !== "") streams.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
      }
    },
    say: (text) => void streams.stderr.write(`${printable(text)}\n`),
    stream: (chunk) => void streams.stdout.write(typeof chunk === "string" && !isJson ? printable(chunk) : chunk),
    streamError: (chunk) => void streams.stderr.write(chunk),
  };
}

/** Says what went wrong, as a person needs it and as a script needs it, and answers the exit code. */
export async function reportFault(caught: unknown, output: Output): Promise<number> {
  const { Fault } = await import("@aether/contract");
  const problem = Fault.from(caught);
  output.say(`error: ${problem.message}`);
  if (problem.field) output.say(`field: ${problem.field}`);
  if (problem.hint) output.say(`hint: ${problem.hint}`);
  if (problem.code === "INTERNAL" && process.env.AETHER_DEBUG && caught instanceof Error) output.say(caught.stack ?? "");
  if (output.isJson) {
    const { code, message, hint, field, details } = problem;
    output.result(
      { error: { code, message, hint, ...(field && { field }), ...(Object.keys(details).length > 0 && { details }) } },
      () => "",
    );
  }
  return exitCodeOf(problem);
}

const bigintAsText = (_key: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);
