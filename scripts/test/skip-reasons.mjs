// @ts-check
// A vitest reporter that says which tests were skipped and why, above vitest's own summary: a skip without a reason looks like a pass.

/** @typedef {import("vitest/node").Reporter} Reporter */

/** @implements {Reporter} */
export default class SkipReasons {
  /** @param {readonly import("vitest/node").TestModule[]} modules */
  onTestRunEnd(modules) {
    for (const module of modules) {
      for (const test of module.children.allTests("skipped")) {
        const result = test.result();
        const reason = (result.state === "skipped" && result.note) || (test.options.mode === "todo" ? "todo" : "no reason given");
        console.log(` skipped: ${module.relativeModuleId} > ${test.fullName}: ${reason}`);
      }
    }
  }
}
