// @ts-check
// schemathesis, which asks a running control plane whether it keeps its own OpenAPI document: a Python program, in an environment of its own in the clone.
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { findCommand, isExecutable } from "./machine.mjs";
import { run } from "./run.mjs";

const VERSIONS = "scripts/prepare/schemathesis.txt";

/** @param {string} root */
const folder = (root) => join(root, ".cache/schemathesis");

/** @type {import("./step.mjs").Step} */
export const schemathesis = {
  name: "schemathesis",
  why: "a test holds the API against its OpenAPI document with it, and is skipped without it",
  isRequired: false,
  changes: "clone",
  look({ root, withTests }) {
    if (!withTests || isMade(root)) return { state: "done", found: "made, or not asked for" };
    const python = findCommand("python3");
    if (python === undefined) return { state: "done", found: "no python3: the test says that it is skipped" };
    return { state: "missing", found: "not installed", plan: `pip install -r ${VERSIONS} into .cache/schemathesis (about 60 MB)` };
  },
  async do({ root, signal }, lockFd) {
    const dir = folder(root);
    const made = { deadlineMs: 180_000, signal, cwd: root, lockFd };
    rmSync(dir, { recursive: true, force: true });
    await run("python3", ["-m", "venv", dir], { ...made, label: "python3 -m venv" });
    const pip = ["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r", VERSIONS];
    await run(join(dir, "bin/pip"), pip, { ...made, label: "pip install schemathesis" });
    // Last: a killed installation has no such file.
    await run("cp", [VERSIONS, join(dir, "installed.txt")], { ...made, label: "cp" });
  },
};

/** @param {string} root */
function isMade(root) {
  try {
    const installed = readFileSync(join(folder(root), "installed.txt"), "utf8");
    return installed === readFileSync(join(root, VERSIONS), "utf8") && isExecutable(join(folder(root), "bin/schemathesis"));
  } catch {
    return false; // nothing there yet
  }
}
