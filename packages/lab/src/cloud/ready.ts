// Waiting for a part to stand, with the part's own last words when it does not.
import { createServer } from "node:net";
import { fault } from "@aether/contract";
import { until } from "@aether/kit";
import type { Child } from "../supervisor/child.ts";

/** Waits until `probe` says so. A child that died twice by then has failed; its last lines are the reason. */
export async function ready(
  what: string,
  child: Child,
  deadlineMs: number,
  probe: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  await until(
    what,
    50,
    deadlineMs,
    async () => {
      if (child.deaths >= 2) {
        throw fault("UNAVAILABLE", `${what} does not start: ${lastWords(child.tail(20))}`, {
          hint: "The whole log is in the directory's logs/.",
        });
      }
      return (await probe()) ? true : undefined;
    },
    signal,
  );
}

/** The most telling line of a log: the last fatal or error entry, else the last line. */
function lastWords(tail: string): string {
  const lines = tail.split("\n").filter((line) => line.trim() !== "");
  const telling = lines.findLast((line) => /"level":(50|60)|^error:|Error:/.test(line)) ?? lines.at(-1) ?? "it wrote nothing";
  return telling.slice(0, 600);
}

/** Fails with the reason when the port cannot be had, before anything is made. */
export function refuseTakenPort(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (cause) =>
      reject(
        fault("LOCKED", `port ${port} of 127.0.0.1 cannot be used: ${cause.message}`, {
          field: "port",
          hint: "Give another one with --port.",
          cause,
        }),
      ),
    );
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve()));
  });
}
