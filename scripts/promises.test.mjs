// @ts-check
// The lists of promises name a file and a test for each: what they name must be there, and be called so.
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
/** @param {string} path */
const read = (path) => readFileSync(join(root, path), "utf8");
const tests = globSync(["packages/*/src/**/*.test.{ts,tsx}", "tests/**/*.test.ts", "scripts/**/*.test.mjs"], { cwd: root });

/** Where a path of a list may begin. */
const bases = [
  "",
  "native/src/",
  "packages/core/",
  ...["engine", "core", "agent", "contract", "kit", "risk"].map((name) => `packages/${name}/src/`),
];
/** "a/{b,c}.ts" is two. @param {string} path @returns {string[]} */
const each = (path) => {
  const [all, before = "", names = "", after = ""] = /^(.*)\{(.*)\}(.*)$/.exec(path) ?? [];
  return all === undefined ? [path] : names.split(",").map((name) => before + name + after);
};

it.each(["docs/reference/why.md", "docs/reference/engine-why.md"])("%s names files and tests that are there", (page) => {
  const wrong = [];
  for (const line of read(page)
    .split("\n")
    .filter((one) => one.startsWith("| "))) {
    const [, , where = ""] = line.split(/(?<!\\)\|/);
    let beside = "";
    for (const [, path = ""] of where.replaceAll(/`[^`]*\.test\.[^`]*`/g, "").matchAll(/`([\w./{},-]+\.(?:ts|c|mjs|sql))`/g)) {
      const isThere = (/** @type {string} */ one) =>
        bases.some((base) => [one, `${beside}/${one}`].some((at) => existsSync(join(root, base, at))));
      wrong.push(...each(path).filter((one) => !isThere(one)));
      if (path.includes("/")) beside = dirname(path);
    }
    const named = [...line.matchAll(/`([\w./-]+\.test\.(?:ts|mjs))`/g)].map(([, path = ""]) => path);
    const found = named.map((path) => tests.filter((test) => test === path || test.endsWith(`/${path}`)));
    wrong.push(...named.filter((_, index) => found[index]?.length === 0));
    const texts = found.flat().map(read);
    if (texts.length === 0) continue;
    const cells = line.split(/(?<!\\)\|/).filter((cell) => cell.includes(".test."));
    for (const [, quoted = ""] of cells.join(" ").matchAll(/"([^"]+)"/g))
      for (const part of quoted.split(/\s*(?:…|%s)\s*/).filter((words) => words.length > 3))
        if (!texts.some((text) => text.includes(part))) wrong.push(`${named.join(", ")}: "${part}"`);
  }
  expect(wrong).toEqual([]);
});
