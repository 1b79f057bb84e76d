// @ts-check
// Builds the page that the control plane serves. What it was built from is remembered by its hash: nothing changed, nothing done.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withPinnedRuntime } from "./machine.mjs";
import { run, StepError } from "./run.mjs";

const SOURCES = ["packages/web/src", "packages/web/public", "packages/contract/src"];
const FILES = ["packages/web/index.html", "packages/web/vite.config.ts", "packages/web/package.json", "package-lock.json"];

/** @type {import("./step.mjs").Step} */
export const dashboard = {
  name: "dashboard",
  why: "the page at the control plane's address; the API and the command work without it",
  isRequired: false,
  changes: "clone",
  look: ({ root }) =>
    isBuilt(root) ? { state: "done", found: "built from these very sources" } : { state: "routine", found: "to be built" },
  async do({ root, signal }, lockFd) {
    const hash = hashOf(root);
    const vite = join(root, "node_modules/.bin/vite");
    await run(vite, ["build", "packages/web", "--logLevel", "warn"], {
      label: "vite build",
      deadlineMs: 180_000,
      signal,
      cwd: root,
      lockFd,
      env: withPinnedRuntime(root),
    }).catch((cause) => {
      throw new StepError(cause.message, { cause, next: "mend the error above, or: npm run build:web" });
    });
    writeFileSync(markOf(root), hash);
  },
};

/** @param {string} root */
const markOf = (root) => join(root, "packages/web/dist/.built-from");

/** @param {string} root */
function isBuilt(root) {
  return (
    existsSync(join(root, "packages/web/dist/index.html")) &&
    existsSync(markOf(root)) &&
    readFileSync(markOf(root), "utf8") === hashOf(root)
  );
}

/** @param {string} root */
function hashOf(root) {
  const hash = createHash("sha256");
  const listed = SOURCES.flatMap((dir) =>
    readdirSync(join(root, dir), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/\.test\.tsx?$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  for (const path of [...listed, ...FILES.map((file) => join(root, file))].sort()) {
    hash
      .update(`${path.slice(root.length)}\0`)
      .update(readFileSync(path))
      .update("\0");
  }
  return hash.digest("hex");
}
