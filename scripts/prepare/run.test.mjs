// @ts-check
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { run, StepError, withRetry } from "./run.mjs";

const node = process.execPath;
/** @type {string[]} */
const folders = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

describe("run", () => {
  it("answers what the command said", async () => {
    const { stdout, output } = await run(node, ["-e", "console.log('out'); console.error('err')"], { deadlineMs: 10_000 });
    expect(stdout).toBe("out\n");
    expect(output).toContain("err");
  });

  it("fails with its name, its code and its last words", async () => {
    const failing = run(node, ["-e", "console.error('disk full'); process.exit(7)"], { deadlineMs: 10_000, label: "apt" });
    await expect(failing).rejects.toThrow(/^apt: exit code 7\n {4}disk full$/);
  });

  it("takes a code that is an answer for one", async () => {
    expect((await run(node, ["-e", "process.exit(1)"], { deadlineMs: 10_000, exitCodes: [0, 1] })).exitCode).toBe(1);
  });

  it("names a command that is not there", async () => {
    await expect(run("/nowhere/criu", [], { deadlineMs: 1_000 })).rejects.toThrow(/cannot start \/nowhere\/criu: .*ENOENT/);
  });

  it("ends the whole group at the deadline, the grandchild too", async () => {
    const folder = mkdtempSync(join(tmpdir(), "aether-run-"));
    folders.push(folder);
    const pidFile = join(folder, "pid");
    const script = `const c = require("node:child_process").spawn("sleep", ["60"]); require("node:fs").writeFileSync(${JSON.stringify(pidFile)}, String(c.pid)); setInterval(() => {}, 1000)`;
    await expect(run(node, ["-e", script], { deadlineMs: 1_000 })).rejects.toThrow(/not done after 1\.0 s/);
    expect(isRunning(Number(readFileSync(pidFile, "utf8")))).toBe(false);
  });

  it("ends when it is told to stop", async () => {
    const stop = new AbortController();
    const running = run("sleep", ["60"], { deadlineMs: 60_000, signal: stop.signal });
    stop.abort();
    await expect(running).rejects.toThrow("sleep: stopped");
  });
});

describe("withRetry", () => {
  const signal = new AbortController().signal;

  it("tries again, and no more often than it was told", async () => {
    let tries = 0;
    const failing = withRetry("x", signal, () => Promise.reject(new Error(`try ${++tries}`)), [1, 1]);
    await expect(failing).rejects.toThrow("try 3");
  });

  it("leaves what cannot be helped by trying again", async () => {
    let tries = 0;
    const failing = withRetry("x", signal, () => Promise.reject(new StepError(`try ${++tries}`, { isFinal: true })), [1, 1]);
    await expect(failing).rejects.toThrow("try 1");
  });
});

/** A zombie counts as ended: who reaps it depends on the machine's init. @param {number} pid */
function isRunning(pid) {
  const path = `/proc/${pid}/stat`;
  return existsSync(path) && !/\) Z /.test(readFileSync(path, "utf8"));
}
