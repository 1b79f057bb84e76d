// What a helper of ours says: one JSON object a line, each with the name of an event.
import type { ChildProcess } from "node:child_process";
import { fault } from "@aether/contract";
import { killGroup } from "@aether/kit";

export interface HelperLine {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface HelperEvents {
  /** The next line with this event, also one that has come already. Rejects when the helper has ended without it. */
  next(event: string): Promise<HelperLine>;
}

function parse(text: string): HelperLine | undefined {
  try {
    const line: unknown = JSON.parse(text);
    return typeof line === "object" && line !== null && "event" in line ? (line as HelperLine) : undefined;
  } catch {
    return undefined;
  }
}

/** @param what the helper's name for people */
export function readEvents(child: ChildProcess, what: string): HelperEvents {
  const seen: HelperLine[] = [];
  const waiting: { event: string; resolve(line: HelperLine): void; reject(cause: unknown): void }[] = [];
  let pending = "";
  let ended: unknown;
  child.stdin?.on("error", () => child.stdin?.destroy()); // it may have ended by itself
  child.stdout?.on("data", (chunk: Buffer) => {
    pending += chunk.toString();
    const lines = pending.split("\n");
    pending = lines.pop() ?? "";
    for (const text of lines) {
      const line = parse(text);
      if (line === undefined) {
        // Whatever it is, it is not what we started: an agent must not end for it.
        end(fault("TOOL_FAILED", `the ${what} said ${JSON.stringify(text.slice(0, 100))}`));
        killGroup(child);
        return;
      }
      const index = waiting.findIndex((one) => one.event === line.event);
      if (index < 0) seen.push(line);
      else waiting.splice(index, 1)[0]?.resolve(line);
    }
  });
  const end = (cause: unknown) => {
    ended ??= cause;
    for (const one of waiting.splice(0)) one.reject(cause);
  };
  child.once("error", (cause) => end(fault("TOOL_MISSING", `${what}: ${cause.message}`, { cause })));
  child.once("close", (code) => end(fault("TOOL_FAILED", `the ${what} ended with code ${code ?? "none"}`)));
  return {
    next: (event) =>
      new Promise((resolve, reject) => {
        const index = seen.findIndex((line) => line.event === event);
        const line = index < 0 ? undefined : seen.splice(index, 1)[0];
        if (line !== undefined) resolve(line);
        else if (ended !== undefined) reject(ended);
        else waiting.push({ event, resolve, reject });
      }),
  };
}
