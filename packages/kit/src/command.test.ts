import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isErrno, run, standBy } from "./command.ts";
import { readTextIfThere } from "./files.ts";
import { sleep } from "./wait.ts";

const deadlineMs = 5000;
const sh = (script: string, options: Partial<Parameters<typeof run>[2]> = {}) => run("sh", ["-c", script], { deadlineMs, ...options });
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-run-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Not counting a zombie that its new parent has not reaped yet. */
async function isAlive(pid: number): Promise<boolean> {
  const status = await readTextIfThere(`/proc/${pid}/stat`);
  return status !== undefined && !/\) [ZX] /.test(status);
}

describe("run", () => {
  it("gives back both streams and how long it took", async () => {
    const result = await sh("echo out; echo err >&2");
    expect(result).toMatchObject({ code: 0, stdout: "out\n", stderr: "err\n" });
    expect(result.durationMs).toBeGreaterThan(0);
  });

  it("passes input, environment and working directory", async () => {
    const result = await run("sh", ["-c", 'cat; echo "$GREETING $PATH"; pwd'], {
      deadlineMs,
      input: "in ",
      env: { GREETING: "hello" },
      cwd: dir,
    });
    expect(result.stdout).toBe(`in hello ${process.env.PATH}\n${dir}\n`);
  });

  it("knows no shell: arguments arrive as they are", async () => {
    const args = ["$(touch /tmp/x)", "; rm -rf", "*", "a b", '"', ""];
    expect((await run("printf", ["%s|", ...args], { deadlineMs })).stdout).toBe(args.map((text) => `${text}|`).join(""));
  });

  it("is not upset by a program that does not read its input", async () => {
    expect((await run("true", [], { deadlineMs, input: "x".repeat(1 << 20) })).code).toBe(0);
  });

  it("fails with the program's last words, unless the code was expected", async () => {
    await expect(sh("echo first; echo why >&2; exit 3")).rejects.toMatchObject({
      code: "TOOL_FAILED",
      message: "sh -c failed (exit 3): why",
      details: { code: "3", stderr: "why\n" },
    });
    await expect(sh("echo only this; exit 3")).rejects.toMatchObject({ message: "sh -c failed (exit 3): only this" });
    await expect(sh("exit 3")).rejects.toMatchObject({ message: "sh -c failed (exit 3): no output" });
    expect((await sh("exit 3", { okCodes: [3] })).code).toBe(3);
  });

  it("counts a signal as 128 and its number, as shells do", async () => {
    expect((await sh("kill -SEGV $$", { okCodes: [139] })).code).toBe(139);
    expect((await sh("kill -TERM $$", { okCodes: [143] })).code).toBe(143);
  });

  it("says what is not installed, what is not executable, and which directory is not there", async () => {
    await expect(run("no-such-program", [], { deadlineMs })).rejects.toMatchObject({ code: "TOOL_MISSING" });
    await expect(run("/etc/passwd", [], { deadlineMs })).rejects.toMatchObject({ code: "TOOL_FAILED" });
    await expect(run("true", [], { deadlineMs, cwd: "/no/where" })).rejects.toMatchObject({
      code: "TOOL_FAILED",
      message: expect.stringContaining("/no/where"),
    });
  });

  it("keeps the end of long output", async () => {
    const { stdout } = await sh("seq 1 200000", { maxOutputBytes: 1000 });
    expect(stdout).toHaveLength(1000);
    expect(stdout.endsWith("\n199999\n200000\n")).toBe(true);
    expect((await sh("echo gone", { maxOutputBytes: 0 })).stdout).toBe("");
  });

  it("kills the whole group at the deadline, also what ignores SIGTERM", async () => {
    const file = join(dir, "child");
    const script = `trap '' TERM; sleep 100 & echo $! > ${file}; wait`;
    await expect(sh(script, { deadlineMs: 300 })).rejects.toMatchObject({
      code: "TOOL_TIMEOUT",
      message: "sh -c did not end within 300 ms",
    });
    await expect.poll(async () => isAlive(Number(await readFile(file, "utf8"))), { timeout: 5000 }).toBe(false);
  });

  it("does not wait for a daemon that the program left behind with its output", async () => {
    const file = join(dir, "daemon");
    const result = await sh(`setsid sh -c 'echo $$ > ${file}; exec sleep 100' & sleep 0.1; echo done`);
    expect(result.stdout).toBe("done\n");
    const pid = Number(await readFile(file, "utf8"));
    expect(await isAlive(pid)).toBe(true);
    process.kill(pid, "SIGKILL");
  });

  it("is killed with the signal's reason, and does not begin when that is over", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const file = join(dir, "never");
    setTimeout(() => controller.abort(reason), 100);
    await expect(sh("sleep 100", { signal: controller.signal })).rejects.toBe(reason);
    await expect(sh(`touch ${file}`, { signal: controller.signal })).rejects.toBe(reason);
    await sleep(50);
    expect(await readTextIfThere(file)).toBeUndefined();
  });
});

describe("isErrno", () => {
  it("knows the errors of system calls from everything else", async () => {
    const caught = await readFile("/no/where").catch((error: unknown) => error);
    expect(isErrno(caught, "EPERM", "ENOENT")).toBe(true);
    expect(isErrno(caught, "EPERM")).toBe(false);
    for (const other of [undefined, null, "ENOENT", { code: 2 }, new Error("ENOENT")]) expect(isErrno(other, "ENOENT")).toBe(false);
  });
});

describe("a program that stands by", () => {
  it("does nothing before its input, and its deadline begins there", async () => {
    const waiting = standBy("sh", ["-c", "read line; echo got $line"]);
    await sleep(150);
    const done = await waiting.go("go\n", { deadlineMs: 2000 });
    expect(done.stdout).toBe("got go\n");
  });

  it("is ended by drop, before or after its input, and says why it failed", async () => {
    const dropped = standBy("sh", ["-c", "read line; sleep 30"]);
    dropped.drop();
    await expect(dropped.go("go\n", { deadlineMs: 2000 })).rejects.toMatchObject({ code: "TOOL_FAILED" });
    dropped.drop();
    const missing = standBy("/no/such/program", []);
    await sleep(50);
    await expect(missing.go("", { deadlineMs: 2000 })).rejects.toMatchObject({ code: "TOOL_MISSING" });
  });
});
