// @ts-check
// The empty database that each new control plane is a copy of: making it takes some eight seconds, which the first `up` need not pay.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { withPinnedRuntime } from "./machine.mjs";
import { run } from "./run.mjs";

/** @type {import("./step.mjs").Step} */
export const emptyDatabase = {
  name: "empty database",
  why: "without it the first start of the control plane takes ten seconds longer",
  isRequired: false,
  changes: "clone",
  look: ({ root }) =>
    hasCluster(join(root, "packages/core/.cache"))
      ? { state: "done", found: "made" }
      : { state: "missing", found: "not made yet", plan: "make it once, in packages/core/.cache" },
  async do({ root, signal }, lockFd) {
    const program = "const { prepareDatabase } = await import('@aether/core'); await prepareDatabase();";
    await run(join(root, "node_modules/.bin/node"), ["--input-type=module", "-e", program], {
      label: "empty database",
      deadlineMs: 120_000,
      signal,
      cwd: join(root, "packages/cli"),
      lockFd,
      env: withPinnedRuntime(root),
    });
  },
};

/** @param {string} dir */
function hasCluster(dir) {
  try {
    return readdirSync(dir).some((name) => /^cluster-[^.]*(\.\d+)*-[0-9a-f]{8}$/.test(name));
  } catch {
    return false; // no folder: nothing was made
  }
}
