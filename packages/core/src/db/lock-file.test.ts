import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { acquireLock } from "./lock-file.ts";

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-lock-"));
  path = join(dir, "core.lock");
});
afterEach(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));

describe("the lock file", () => {
  it("refuses a second holder, names the first, and is free after the release", async () => {
    const held = await acquireLock(path);
    await expect(acquireLock(path)).rejects.toMatchObject({ code: "LOCKED", details: { pid: String(process.pid) } });
    await held.release();
    await (await acquireLock(path)).release();
  });

  it("is taken over from a process that was killed", async () => {
    const child = spawn("sleep", ["60"]);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    const stat = await readFile(`/proc/${child.pid}/stat`, "utf8");
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    await writeFile(path, `${child.pid} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]} ${boot}`);
    await expect(acquireLock(path)).rejects.toMatchObject({ code: "LOCKED" });
    child.kill("SIGKILL");
    await ended;
    await (await acquireLock(path)).release();
  });

  it.each([
    ["another process has the pid now", `${process.pid} 1 00000000-0000-0000-0000-000000000000`],
    ["its maker was killed before it wrote", ""],
    ["it holds something else", "not a lock\n"],
  ])("is taken over when %s", async (_why, text) => {
    await writeFile(path, text);
    const held = await acquireLock(path);
    expect(await readFile(path, "utf8")).toMatch(new RegExp(`^${process.pid} `));
    await held.release();
  });

  it("goes to exactly one of many who find it stale at once", async () => {
    await writeFile(path, "999999999 1 stale");
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => acquireLock(path)));
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });
});
