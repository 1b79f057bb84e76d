// The guard of a freeze, whose agent has died: how long it waits for the criu that dumps, and that the workload runs again whatever that does.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep } from "@aether/kit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { missingProgram, native, skipWhere } from "./native-program.ts";

const missing = missingProgram();

describe("guard", () => {
  skipWhere(missing);
  let dir: string;
  let freezer: string;
  let criu: ChildProcess;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "aether-guard-"));
    freezer = join(dir, "freezer.state");
    await writeFile(join(dir, "cgroup.procs"), "");
  });
  afterEach(() => criu?.kill("SIGKILL"));
  afterAll(() => rm(dir, { recursive: true, force: true }));

  /** One that heard these words and then lost its agent. Much longer than a test waits is what it gives to a criu at work. */
  async function guardAfter(...words: string[]) {
    await writeFile(freezer, "FROZEN");
    criu = spawn("sleep", ["60"], { stdio: "ignore", detached: true });
    const files = ["--procs", join(dir, "cgroup.procs"), "--freezer", freezer, "--thaw", "THAWED"];
    const limits = ["--silence-ms", "60000", "--group", String(criu.pid), "--group-ms", "60000"];
    const guard = spawn(native, ["guard", ...files, ...limits, "--", "/bin/true"], { stdio: ["pipe", "pipe", "ignore"] });
    const ended = once(guard, "close");
    await once(guard.stdout, "data");
    guard.stdin.end(words.map((word) => `${word}\n`).join(""));
    return { ended, hasEnded: () => guard.exitCode !== null };
  }
  const isThawed = async () => (await readFile(freezer, "utf8")).startsWith("THAWED");

  it.each([[[]], [["ping"]], [["dumping", "done"]]])("after %j the group may be killed at once", async (words) => {
    const { ended } = await guardAfter(...words);
    await ended;
    expect([criu.signalCode ?? (await once(criu, "exit"))[1], await isThawed()]).toEqual(["SIGKILL", true]);
  });

  it("one at work is given its time, and the workload stays as it is until then", async () => {
    const { ended, hasEnded } = await guardAfter("dumping");
    await sleep(300);
    expect([criu.signalCode, hasEnded(), await isThawed()]).toEqual([null, false, false]);
    criu.kill("SIGTERM");
    await ended;
    expect(await isThawed()).toBe(true);
  });
});
