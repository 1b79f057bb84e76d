// @ts-check
// A vitest reporter that says which tests were skipped and why, above vitest's own summary: a skip without a reason looks like a pass.
// What a test has no reason of its own for has the one of the suite around it, in that suite's title: "(skipped: why)".

/** @typedef {import("vitest/node").Reporter} Reporter */
/** @typedef {import("vitest/node").TestCase} TestCase */
/** @typedef {import("vitest/node").TestModule} TestModule */

/** @implements {Reporter} */
export default class SkipReasons {
  /** @param {readonly TestModule[]} modules */
  onTestRunEnd(modules) {
    for (const module of modules) for (const line of linesOf(module)) console.log(` skipped: ${line}`);
  }
}

/**
 * One line for each test, and one for all of a suite that was skipped as a whole.
 * @param {TestModule} module @returns {string[]}
 */
export function linesOf(module) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const test of module.children.allTests("skipped")) {
    const line = lineOf(test);
    counts.set(line, (counts.get(line) ?? 0) + 1);
  }
  return [...counts].map(([line, count]) => `${module.relativeModuleId} > ${line}${count > 1 ? ` (${count} tests)` : ""}`);
}

/** @param {TestCase} test @returns {string} */
function lineOf(test) {
  const result = test.result();
  if (result.state === "skipped" && result.note !== undefined) return `${test.fullName}: ${result.note}`;
  if (test.options.mode === "todo") return `${test.fullName}: todo`;
  for (let { parent } = test; parent.type === "suite"; parent = parent.parent) {
    const [, reason] = /\(skipped: (.+)\)$/s.exec(parent.name) ?? [];
    if (reason !== undefined) return `${parent.fullName.slice(0, -` (skipped: ${reason})`.length)}: ${reason}`;
  }
  return `${test.fullName}: no reason given`;
}
