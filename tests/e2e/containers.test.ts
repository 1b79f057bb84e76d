// Containers that podman runs, looked at from outside: what is said of them is true, and they go on as if nobody had asked.
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const name = "aether-test-container";
// A root without CAP_SYS_RESOURCE may not raise limits, and podman's own are higher than many machines'.
const settings = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--network", "none", "-v", "/usr:/usr:ro"];
// A process that forks and holds a file without a name; its child waits for a change of a directory.
const program = [
  "use POSIX; open(F,'+>','/tmp/ghost'); print F 'x' x 5000; F->flush; unlink '/tmp/ghost';",
  "if (fork == 0) { my $fd = syscall(294, 0); mkdir '/tmp/watched'; syscall(254, $fd, my $p = '/tmp/watched', 0x100); sleep 600 }",
  "sleep 600",
].join(" ");

function start(dir: string, names: string): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  const made = spawnSync(
    "podman",
    ["--runtime", "runc", "run", "-d", "--name", names, ...settings, "--rootfs", dir, "/usr/bin/perl", "-MIO::Handle", "-e", program],
    { encoding: "utf8", timeout: 60_000 },
  );
  if (made.error !== undefined) return "podman is not installed";
  return made.status === 0 ? undefined : `podman cannot run a container here: ${made.stderr.trim().split("\n").at(-1)}`;
}

const dir = await mkdtemp("/var/tmp/aether-container-");
for (const each of ["usr", "proc", "dev", "sys", "tmp", "run", "etc"]) await mkdir(join(dir, each));
for (const each of ["bin", "lib", "lib64"]) await symlink(`usr/${each}`, join(dir, each));
spawnSync("podman", ["rm", "--force", "--time", "0", name]);
const missing = start(dir, name);

afterAll(async () => {
  spawnSync("podman", ["rm", "--force", "--time", "0", name]);
  await rm(dir, { recursive: true, force: true });
});

describe.skipIf(missing !== undefined)(`a container of podman${missing ? ` (skipped: ${missing})` : ""}`, () => {
  const aether = async (...args: string[]) =>
    run(join(import.meta.dirname, "../../packages/cli/bin/aether.mjs"), args, { deadlineMs: 60_000, okCodes: [0, 1, 2, 3] });
  const stateOf = async () =>
    (await run("podman", ["inspect", "-f", "{{.State.Pid}} {{.State.Status}}", name], { deadlineMs: 20_000 })).stdout;
  let before: string;
  beforeAll(async () => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    before = await stateOf();
  });

  it("is judged by what its processes have open, and what it shares with its host is named; it goes on unharmed", async () => {
    const { stdout, code } = await aether("preflight", "--container", name, "--json");
    const [verdict] = JSON.parse(stdout).containers;
    expect(verdict).toMatchObject({
      container: { name, runtime: "podman", rootfs: dir },
      processCount: 2,
      blockers: [],
    });
    const codes = verdict.warnings.map((one: any) => one.code);
    expect(codes).toEqual(expect.arrayContaining(["DELETED_FILE_TRAVELS", "INOTIFY_IN_USE", "MOUNT"]));
    expect(verdict.asWorkload.slice(0, 4)).toEqual(["run", name, "--rootfs", dir]);
    expect(verdict.takeOver[0]).toBe(`podman stop ${name}`);
    expect(verdict.takeOver.at(-1)).toMatch(new RegExp(`^aether run ${name} --rootfs ${dir} .*-- /usr/bin/perl -MIO::Handle -e '`));
    expect(code).toBe(0);
    expect(await stateOf()).toBe(before);
    const text = (await aether("preflight", "--containers")).stdout;
    expect(text).toContain(`${name} (podman, ${dir}): 2 processes`);
    expect(text).toContain("aether run");
    expect(text).toContain(`podman start ${name}`);
  });

  it("that is not there is said so, with who was not asked", async () => {
    const { code, stderr } = await aether("preflight", "--container", "no-such-container");
    expect([code, stderr]).toEqual([2, expect.stringContaining("no running container")]);
  });
});
