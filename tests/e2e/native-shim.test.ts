// The shim, as a real process over real children: what it must survive, and what must not survive it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTextIfThere, run, sleep, until } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { outputFindings } from "../../packages/engine/src/preflight/output.ts";
import { missingProgram, native, skipWhere } from "./native-program.ts";

const missing = missingProgram();
let dir: string;
let count = 0;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aet-shim-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A folder for one workload, and the shim's command line for a script that starts it in the background. */
async function workload(script: string, options: { maxLogBytes?: number } = {}) {
  const folder = join(dir, String(count++));
  await mkdir(folder);
  const at = (name: string) => join(folder, name);
  const files = { log: at("log"), exit: at("exit.json"), pid: at("pid"), script: at("start.sh") };
  await writeFile(files.script, `${script}\n`);
  const fixed = ["--log", files.log, "--max-log-bytes", String(options.maxLogBytes ?? 1 << 20), "--exit-file", files.exit];
  const args = ["shim", ...fixed, "--pid-file", files.pid, "--", "sh", files.script, files.pid];
  return { folder, files, args };
}

async function launch(args: readonly string[]) {
  const result = await run(native, args, { deadlineMs: 10_000, okCodes: Array.from({ length: 256 }, (_, code) => code) });
  return { ...result, line: JSON.parse(result.stdout) as Record<string, unknown> };
}

const exitOf = (file: string) =>
  until("the exit file", 10, 10_000, async () => {
    const text = await readTextIfThere(file);
    return text === undefined ? undefined : (JSON.parse(text) as { exitCode: number; signal: number; atMs: number });
  });

/** A process that nobody has reaped yet is not alive: the machine's own init takes its time here and there. */
async function isAlive(pid: number): Promise<boolean> {
  const status = await readTextIfThere(`/proc/${pid}/stat`);
  return status !== undefined && !/\) [ZX] /.test(status);
}

const gone = (pid: number) => until(`the end of ${pid}`, 10, 5000, async () => ((await isAlive(pid)) ? undefined : true));

/** As an agent has it on record. */
const recordOf = (line: Record<string, unknown>) => ({
  spec: { name: "db" },
  pid: Number(line.pid),
  stdio: { stdout: Number(line.stdoutInode), stderr: Number(line.stderrInode) },
});

describe("the shim", () => {
  skipWhere(missing);
  it("answers when the workload is launched, and leaves its output and exit code", async () => {
    const beforeMs = Date.now();
    const { files, args } = await workload(
      '(echo one; echo two >&2; until [ -e "$1.go" ]; do sleep 0.05; done; echo three; exit 7) & echo $! > "$1"',
    );
    const { code, line } = await launch(args); // its pipes are let go while the workload still writes
    expect(code).toBe(0);
    expect(line).toMatchObject({ event: "launched", code: 0, pid: Number(await readFile(files.pid, "utf8")) });
    // It is not what goes first when memory runs out: without it the workload's next line would end it. The workload itself is as it was.
    const score = async (pid: unknown) => (await readFile(`/proc/${pid}/oom_score_adj`, "utf8")).trim();
    const own = await score("self");
    const mayLower =
      (await run("sh", ["-c", "echo -999 > /proc/self/oom_score_adj"], { deadlineMs: 5_000, okCodes: [0, 1, 2] })).code === 0;
    await until("the shim's score", 10, 5_000, async () => (await score(line.shimPid)) === (mayLower ? "-999" : own) || undefined);
    expect(await score(line.pid)).toBe(own);
    await writeFile(`${files.pid}.go`, "");
    const exit = await exitOf(files.exit);
    expect(exit).toMatchObject({ exitCode: 7, signal: 0 });
    expect(exit.atMs).toBeGreaterThanOrEqual(beforeMs);
    expect((await readFile(files.log, "utf8")).split("\n").sort()).toEqual(["", "one", "three", "two"]);
    await gone(Number(line.shimPid));
  });

  it("gives the workload pipes whose inodes it names", async () => {
    const { args, files } = await workload(
      'readlink /proc/$$/fd/1; readlink /proc/$$/fd/2; readlink /proc/$$/fd/0; sleep 0 & echo $! > "$1"',
    );
    const { line } = await launch(args);
    await exitOf(files.exit);
    expect(await readFile(files.log, "utf8")).toBe(`pipe:[${line.stdoutInode}]\npipe:[${line.stderrInode}]\n/dev/null\n`);
  });

  it("knows a signal from an exit code", async () => {
    const { files, args } = await workload('sleep 100 & echo $! > "$1"');
    const { line } = await launch(args);
    process.kill(Number(line.pid), "SIGKILL");
    expect(await exitOf(files.exit)).toMatchObject({ exitCode: 137, signal: 9 });
  });

  it("survives its caller, and the workload's output goes on", async () => {
    const { files, args } = await workload('(for i in 1 2 3 4 5 6; do echo line $i; sleep 0.1; done; exit 3) & echo $! > "$1"');
    const caller = spawn("sh", ["-c", '"$@"; sleep 100', "caller", native, ...args], { stdio: "pipe", detached: true });
    await once(caller.stdout, "data"); // launched: killed before, everything is taken back (below)
    process.kill(-(caller.pid ?? 0), "SIGKILL");
    expect(await exitOf(files.exit)).toMatchObject({ exitCode: 3 });
    expect(await readFile(files.log, "utf8")).toBe("line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n");
  });

  it("is not ended by the signals that end a service", async () => {
    const { files, args } = await workload('(sleep 0.4; exit 4) & echo $! > "$1"');
    const { line } = await launch(args);
    for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.kill(Number(line.shimPid), name);
    expect(await exitOf(files.exit)).toMatchObject({ exitCode: 4 });
  });

  describe("that is killed", () => {
    const lines = '(i=0; until [ -e "$1.go" ]; do i=$((i+1)); echo line $i; sleep 0.02; done; exit 5) & echo $! > "$1"';
    const parentOf = async (pid: unknown) => Number(/\) \S+ (\d+) /.exec(await readFile(`/proc/${pid}/stat`, "utf8"))?.[1]);
    const kill = (pid: unknown) => process.kill(Number(pid), "SIGKILL");
    /** The child that stands by for `pid`. */
    const childOf = (pid: number) =>
      until("who stands by", 10, 5_000, async () => {
        const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ");
        for (const child of children) if ((await readTextIfThere(`/proc/${child}/comm`))?.trim() === "aether-shim-2") return Number(child);
        return undefined;
      });
    const more = async (log: string) => {
      const { size } = await stat(log);
      await until("more output", 10, 5_000, async () => (await stat(log)).size > size || undefined);
    };

    it.each([
      ["the worker", 5, async (worker: number) => kill(worker)],
      [
        "the worker, and who took over",
        -1,
        async (worker: number, parent: number) => {
          kill(worker);
          await childOf(parent);
          kill(parent);
        },
      ],
      [
        "who stands by, three times, and then the worker",
        -1,
        async (worker: number, parent: number) => {
          for (let next = parent, times = 0; times < 3; times++) {
            kill(next);
            await gone(next);
            next = await childOf(worker);
          }
          kill(worker);
        },
      ],
    ])("%s: the workload does not notice, no line is lost, and the exit code is %d", async (_, exitCode, killing) => {
      const { files, args } = await workload(lines);
      const { line } = await launch(args);
      const worker = Number(line.shimPid);
      await more(files.log);
      await killing(worker, await parentOf(worker));
      await gone(worker);
      await more(files.log);
      expect(await outputFindings(recordOf(line))).toEqual([]);
      await writeFile(`${files.pid}.go`, "");
      expect(await exitOf(files.exit)).toMatchObject({ exitCode, signal: 0 });
      const said = (await readFile(files.log, "utf8")).trim().split("\n");
      expect(said).toEqual(said.map((__, index) => `line ${index + 1}`));
    });

    it("with who stands by, at once: nobody reads, and that is found", async () => {
      const { args } = await workload('sleep 100 & echo $! > "$1"');
      const { line } = await launch(args);
      const parent = await parentOf(line.shimPid);
      for (const pid of [parent, line.shimPid]) process.kill(Number(pid), "SIGSTOP"); // neither sees the other's end
      for (const pid of [parent, line.shimPid]) kill(pid);
      await gone(Number(line.shimPid));
      await gone(parent);
      expect(await outputFindings(recordOf(line))).toMatchObject([{ code: "OUTPUT_UNREAD", subject: "db" }]);
      kill(line.pid);
    });

    it("before the launch: everything that was started ends", async () => {
      const { files, args } = await workload('sleep 100 & echo $! > "$1"; wait');
      const launching = launch(args);
      const child = Number(await until("the child", 10, 5_000, async () => (await readTextIfThere(files.pid))?.trim() || undefined));
      const worker = await parentOf(await parentOf(child));
      expect((await readFile(`/proc/${worker}/comm`, "utf8")).trim()).toBe("aether-shim");
      kill(worker);
      await expect(launching).rejects.toThrow();
      await gone(child);
      expect(await readTextIfThere(files.exit)).toBeUndefined();
    });
  });

  it("kills everything when its caller gives up before the launch", async () => {
    const { files, args, folder } = await workload(
      'sleep 100 & echo $! > "$1"; setsid sh -c "sleep 100 & echo \\$! > $(dirname "$1")/far; wait" & sleep 100',
    );
    const front = spawn(native, args, { stdio: "ignore" });
    const near = Number(await until("the near child", 10, 5000, () => readTextIfThere(files.pid)));
    const far = Number(await until("the far child", 10, 5000, async () => (await readTextIfThere(join(folder, "far"))) || undefined));
    expect([await isAlive(near), await isAlive(far)]).toEqual([true, true]);
    front.kill("SIGKILL");
    await gone(near);
    await gone(far);
    expect(await readTextIfThere(files.exit)).toBeUndefined();
  });

  it("says why a command failed, in valid JSON whatever it wrote", async () => {
    const failing = await workload(`head -c 10000 /dev/zero | tr '\\000' x >&2; printf 'the "end" \\377\\001\\n' >&2; exit 9`);
    const { code, line } = await launch(failing.args);
    expect(code).toBe(9);
    expect(line).toMatchObject({ event: "failed", code: 9, pid: 0 });
    expect(String(line.stderr)).toHaveLength(4096);
    expect(String(line.stderr).endsWith('xxxthe "end" \ufffd\u0001\n')).toBe(true);
    expect((await stat(failing.files.log)).size).toBe(10_013);
    expect(await readTextIfThere(failing.files.exit)).toBeUndefined();

    const nowhere = await workload("true");
    const replaced = [...nowhere.args.slice(0, nowhere.args.indexOf("--") + 1), "/no/such/program"];
    const absent = await launch(replaced);
    expect(absent.code).toBe(127);
    expect(String(absent.line.stderr)).toContain("/no/such/program: No such file");

    const silent = await launch((await workload("exit 0")).args);
    expect(silent.code).toBe(1);
    expect(String(silent.line.stderr)).toContain("left no pid");

    const killed = await launch((await workload("kill -TERM $$")).args);
    expect(killed.code).toBe(128 + 15);
  });

  it("rotates a full log, losing nothing of what is kept", async () => {
    const { files, args } = await workload('seq -w 1 30000 & echo $! > "$1"', { maxLogBytes: 100_000 });
    await launch(args);
    await exitOf(files.exit);
    const [old, now] = [await readFile(`${files.log}.1`, "utf8"), await readFile(files.log, "utf8")];
    expect(old.length).toBeLessThanOrEqual(100_000);
    expect(now.length).toBeLessThanOrEqual(100_000);
    expect(old.length + now.length).toBeGreaterThan(100_000); // of 180,000 bytes
    const kept = (old + now).trim().split("\n");
    expect(kept.at(-1)).toBe("30000");
    const first = Number(kept[1]);
    for (const [index, text] of kept.slice(1).entries()) expect(Number(text)).toBe(first + index);
  });

  it("does not hold up the workload when the disk takes no more, and says what was lost", async (context) => {
    if (process.getuid?.() !== 0) return context.skip("a disk of its own needs root");
    const disk = join(dir, "disk");
    await mkdir(disk);
    await run("mount", ["-t", "tmpfs", "-o", "size=64k", "aet-shim", disk], { deadlineMs: 5000 });
    try {
      const { files, args } = await workload(
        '(seq 1 100000; touch "$1.done"; until [ -e "$1.go" ]; do sleep 0.05; done; echo back again) & echo $! > "$1"',
      );
      await writeFile(join(disk, "filler"), "");
      const index = args.indexOf("--log");
      const log = join(disk, "log");
      await launch(args.map((value, position) => (position === index + 1 ? log : value)));
      await until("the workload to be through", 10, 5000, () => readTextIfThere(`${files.pid}.done`));
      expect((await stat(log)).size).toBeLessThanOrEqual(65_536);
      await rm(`${log}.1`, { force: true });
      await run("mount", ["-o", "remount,size=1m", disk], { deadlineMs: 5000 });
      await writeFile(`${files.pid}.go`, "");
      expect(await exitOf(files.exit)).toMatchObject({ exitCode: 0 });
      const text = await readFile(log, "utf8");
      const [note = "", lost] = /\n\[aether: (\d+) bytes of output were lost[^\n]*\n/.exec(text) ?? [];
      expect(text.endsWith("back again\n")).toBe(true);
      const kept = text.length - note.length - "back again\n".length;
      expect(kept + Number(lost)).toBe(588_895); // of `seq 1 100000`
      expect(Number(lost)).toBeGreaterThan(400_000);
    } finally {
      await run("umount", [disk], { deadlineMs: 5000 });
    }
  });

  it("sees the end of an init that is not its child, without claiming to know the exit code", async () => {
    const stranger = spawn("sleep", ["100"], { stdio: "ignore" });
    const { files, args } = await workload(`echo ${stranger.pid} > "$1"`);
    const { line } = await launch(args);
    expect(line.pid).toBe(stranger.pid);
    await sleep(100);
    expect(await isAlive(Number(line.shimPid))).toBe(true);
    stranger.kill("SIGKILL");
    expect(await exitOf(files.exit)).toMatchObject({ exitCode: -1, signal: 0 });
  });

  it("reaps what the workload leaves behind", async () => {
    const { files, args } = await workload('(for i in 1 2 3 4 5; do (sleep 0.05 &); done; sleep 0.6) & echo $! > "$1"');
    const { line } = await launch(args);
    await sleep(350);
    const children = await readFile(`/proc/${line.shimPid}/task/${line.shimPid}/children`, "utf8");
    expect(children.trim()).toBe(String(line.pid)); // no zombie among them
    await exitOf(files.exit);
  });

  it("gives the exit code even when a stranger keeps the pipe open", async () => {
    const { files, args } = await workload('setsid sleep 60 & echo $! > "$1.stranger"; (sleep 0.2; exit 6) & echo $! > "$1"');
    await launch(args);
    expect(await exitOf(files.exit)).toMatchObject({ exitCode: 6 });
    const stranger = Number(await readFile(`${files.pid}.stranger`, "utf8"));
    expect(await isAlive(stranger)).toBe(true);
    process.kill(stranger, "SIGKILL");
  });

  it("passes the caller's descriptors to the command, and does not keep them itself", async () => {
    const { files, args } = await workload('echo from the command >&3; (until [ -e "$1.go" ]; do sleep 0.05; done) 3>&- & echo $! > "$1"');
    const child = spawn(native, args, { stdio: ["ignore", "pipe", "pipe", "pipe"], detached: true });
    let text = "";
    for await (const chunk of child.stdio[3] as NodeJS.ReadableStream) text += chunk;
    expect(text).toBe("from the command\n");
    expect(await readTextIfThere(files.exit)).toBeUndefined(); // the end of the descriptor came while the workload runs
    await writeFile(`${files.pid}.go`, "");
    await exitOf(files.exit);
  });

  it("takes little memory", async () => {
    const { files, args } = await workload('sleep 0.3 & echo $! > "$1"');
    const { line } = await launch(args);
    let status = "";
    for await (const chunk of createReadStream(`/proc/${line.shimPid}/status`)) status += chunk;
    expect(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1])).toBeLessThan(2048);
    await exitOf(files.exit);
  });
});
