// The client of a measurement (probe.ts), from its start until what it saw.
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { ProbeReport } from "./probe.ts";
import { type MoveTimes, type SplitWaits, splitWaits } from "./waits.ts";

export interface Seen extends Omit<SplitWaits, "isAnsweredAfter"> {
  readonly wrongCount: number;
  readonly error: string | null;
}

export interface Client {
  /** Ends it, and splits what it waited for around the move. */
  stop(move: MoveTimes): Promise<Seen>;
  /** For a move that failed; nothing happens after {@link stop}. */
  kill(): void;
}

/** @param enter what runs it in the client's network namespace */
export function startClient(address: string, enter: readonly string[] = []): Client {
  const [program = "", ...argv] = [...enter, process.execPath, join(import.meta.dirname, "probe.ts"), address];
  const child = spawn(program, argv, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  // Heard from the beginning: a client whose connection breaks ends by itself, long before it is asked to.
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return {
    async stop(move) {
      child.kill("SIGTERM");
      await closed;
      const { waits, wrongCount, error } = JSON.parse(text) as ProbeReport;
      const { isAnsweredAfter, ...split } = splitWaits(waits, move);
      const broken = error ?? (isAnsweredAfter ? null : "no answer after the move");
      // Of a client whose connection broke in the freeze the wait that matters has no end.
      return { ...split, gapMs: broken === null ? split.gapMs : Number.NaN, wrongCount, error: broken };
    },
    kill: () => void child.kill("SIGKILL"),
  };
}
