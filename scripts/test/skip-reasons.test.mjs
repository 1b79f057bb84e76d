// @ts-check
import { expect, it } from "vitest";
import { linesOf } from "./skip-reasons.mjs";

/** @typedef {import("vitest/node").TestModule} TestModule */
/** As vitest shows them to a reporter. @typedef {{ type: "suite" | "module", name: string, fullName: string, parent?: Parent }} Parent */

const file = { type: /** @type {const} */ ("module"), name: "a.test.ts", fullName: "a.test.ts" };
/** @param {string} name @param {Parent} parent @returns {Parent} */
const suite = (name, parent = file) => ({
  type: "suite",
  name,
  fullName: parent.type === "suite" ? `${parent.fullName} > ${name}` : name,
  parent,
});
/** @param {string} name @param {Parent} parent @param {{ note?: string, mode?: string }} how */
const test = (name, parent = file, { note, mode = "skip" } = {}) => ({
  fullName: suite(name, parent).fullName,
  parent,
  options: { mode },
  result: () => ({ state: "skipped", note }),
});
/** @param {unknown[]} tests */
const said = (...tests) =>
  linesOf(/** @type {TestModule} */ (/** @type {unknown} */ ({ relativeModuleId: "a.test.ts", children: { allTests: () => tests } })));

it("gives a test's own reason", () => {
  expect(said(test("moves", file, { note: "no criu" }), test("rests", file, { mode: "todo" }))).toEqual([
    "a.test.ts > moves: no criu",
    "a.test.ts > rests: todo",
  ]);
});

it("gives that of the nearest suite around it, once for all that it has", () => {
  const outer = suite("moves (skipped: a part of npm run all (and only of it))");
  const inner = suite("by post-copy", outer);
  const own = suite("by TLS (skipped: no OpenSSL)", outer);
  expect(said(test("one", inner), test("two", outer), test("three", own))).toEqual([
    "a.test.ts > moves: a part of npm run all (and only of it) (2 tests)",
    "a.test.ts > moves (skipped: a part of npm run all (and only of it)) > by TLS: no OpenSSL",
  ]);
});

it("says where there is none", () => {
  expect(said(test("one", suite("moves")))).toEqual(["a.test.ts > moves > one: no reason given"]);
});
