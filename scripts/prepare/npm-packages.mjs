// @ts-check
// The packages of package-lock.json. npm writes node_modules/.package-lock.json as its last act, so a comparison of the two tells whether what
// is installed is what is asked for, also after a kill half-way and after a developer's own `npm install`; a stamp of the lockfile would not.
import { readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { run, StepError, withRetry } from "./run.mjs";

const NPM_CI = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];

/** @type {import("./step.mjs").Step} */
export const npmPackages = {
  name: "npm packages",
  why: "everything is built on them, the pinned Node runtime too",
  isRequired: true,
  changes: "clone",
  look({ root }) {
    const wanted = readLock(join(root, "package-lock.json"));
    const present = readLock(join(root, "node_modules/.package-lock.json"));
    if (wanted === undefined)
      throw new StepError("package-lock.json cannot be read", { next: "take it back from git: git checkout package-lock.json" });
    const differing = Object.entries(wanted).filter(([path, entry]) => path !== "" && !entry.optional && !isSame(entry, present?.[path]));
    if (differing.length === 0) return { state: "done", found: `${Object.keys(wanted).length} packages as locked` };
    const found =
      present === undefined ? "node_modules is missing" : `${differing.length} differ from package-lock.json (${differing[0]?.[0]})`;
    return { state: "missing", found, plan: `npm ${NPM_CI.join(" ")}` };
  },
  async do({ root, signal }, lockFd) {
    // npm empties node_modules first: it must not itself run on the Node that lies there.
    const PATH = (process.env.PATH ?? "")
      .split(delimiter)
      .filter((folder) => !folder.endsWith("node_modules/.bin"))
      .join(delimiter);
    await withRetry("npm ci", signal, () =>
      run("npm", NPM_CI, { label: "npm ci", deadlineMs: 600_000, signal, cwd: root, lockFd, env: { ...process.env, PATH } }).catch(explain),
    );
  },
};

/** @typedef {{ version?: string, integrity?: string, resolved?: string, link?: boolean, optional?: boolean }} Locked */

/** @param {string} path @returns {Record<string, Locked> | undefined} */
function readLock(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages;
  } catch {
    return undefined; // absent or cut short: the same as not installed
  }
}

/** @param {Locked} wanted @param {Locked | undefined} present */
function isSame(wanted, present) {
  return (
    present !== undefined && wanted.version === present.version && wanted.integrity === present.integrity && wanted.link === present.link
  );
}

/** npm ends a refusal of the lockfile with a page of usage: its first lines are the ones that tell. @param {StepError} cause @returns {never} */
function explain(cause) {
  if (!cause.output.includes("EUSAGE"))
    throw new StepError(cause.message, { cause, next: "is the npm registry reachable (npm ping)? Then run this again" });
  const told = cause.output.split("\n").slice(2, 8).join("\n");
  throw new StepError(`npm ci: the lockfile does not fit package.json\n${told}`, {
    cause,
    isFinal: true,
    next: "npm install, then node scripts/complete-lockfile.mjs, and commit package-lock.json",
  });
}
