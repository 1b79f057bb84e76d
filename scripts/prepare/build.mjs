// @ts-check
// Always asks tsc, which is incremental: half a second when nothing changed, and never wrong about it.
import { join } from "node:path";
import { withPinnedRuntime } from "./machine.mjs";
import { run, StepError } from "./run.mjs";

/** @type {import("./step.mjs").Step} */
export const build = {
  name: "build",
  why: "the `aether` command runs from packages/*/dist",
  isRequired: true,
  changes: "clone",
  look: () => ({ state: "routine", found: "tsc knows" }),
  async do({ root, signal }, lockFd) {
    const tsc = join(root, "node_modules/.bin/tsc");
    await run(tsc, ["-b"], { label: "tsc -b", deadlineMs: 300_000, signal, cwd: root, lockFd, env: withPinnedRuntime(root) }).catch(
      (cause) => {
        throw new StepError(cause.message, { cause, next: "mend the type errors above" });
      },
    );
  },
};
