// @ts-check
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { readMachine } from "./machine.mjs";
import { npmPackages } from "./npm-packages.mjs";

const root = mkdtempSync(join(tmpdir(), "aether-npm-"));
afterAll(() => rmSync(root, { recursive: true }));
const locked = {
  "": { version: "1.0.0" },
  "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
  "node_modules/b-darwin": { version: "1.0.0", optional: true },
};

/** @param {object | string | undefined} present what npm says is installed */
function look(present) {
  mkdirSync(join(root, "node_modules"), { recursive: true });
  writeFileSync(join(root, "package-lock.json"), JSON.stringify({ packages: locked }));
  const path = join(root, "node_modules/.package-lock.json");
  if (present === undefined) rmSync(path, { force: true });
  else writeFileSync(path, typeof present === "string" ? present : JSON.stringify({ packages: present }));
  return npmPackages.look({ root, prefix: "/nowhere", withTests: false, machine: readMachine(), signal: new AbortController().signal });
}

it("is done when what is installed is what is locked, without another platform's optional packages", () => {
  expect(look({ "node_modules/a": locked["node_modules/a"] })).toMatchObject({ state: "done" });
});

it.each([
  ["nothing is installed", undefined],
  ["the install was cut short", '{"packages": {"node_modu'],
  ["a package is missing", {}],
  ["a version differs", { "node_modules/a": { version: "1.0.1", integrity: "sha512-a" } }],
  ["a content differs", { "node_modules/a": { version: "1.0.0", integrity: "sha512-x" } }],
])("is missing when %s", (_case, present) => {
  expect(look(present)).toMatchObject({ state: "missing" });
});
