// What every command of the native program keeps to: options are checked before anything is done; the socket pipe; the announcement.
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "@aether/kit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createNamespaces, inside, ip, missingForPackets, missingProgram, native, skipWhere } from "./native-program.ts";

const missing = missingProgram();
const missingPackets = missingForPackets();

const call = (...args: readonly string[]) => run(native, args, { deadlineMs: 5000, okCodes: [0, 1, 2] });

describe("options", () => {
  skipWhere(missing);
  const shim = ["shim", "--log", "/tmp/x", "--max-log-bytes", "70000", "--exit-file", "/tmp/y", "--pid-file", "/tmp/z"];
  const hold = ["hold", "--device", "aet0", "--address", "10.0.0.1", "--deadline-ms", "1000", "--max-bytes", "1000"];
  const without = (args: readonly string[], name: string) => args.filter((_, at) => args[at] !== name && args[at - 1] !== name);
  const replaced = (args: readonly string[], name: string, value: string) => args.map((text, at) => (args[at - 1] === name ? value : text));
  it.each([
    [[], "no command"],
    [["dance"], '"dance"'],
    [["shim"], "--log is missing"],
    [[...without(shim, "--exit-file"), "--", "true"], "--exit-file is missing"],
    [shim, "no command after --"],
    [[...shim, "--"], "no command after --"],
    [[...replaced(shim, "--log", "relative"), "--", "true"], "absolute"],
    [[...replaced(shim, "--max-log-bytes", "12k"), "--", "true"], "--max-log-bytes must be a whole number"],
    [[...replaced(shim, "--max-log-bytes", "1"), "--", "true"], "65536"],
    [[...replaced(shim, "--max-log-bytes", "99999999999999999999"), "--", "true"], "--max-log-bytes"],
    [[...shim, "--log", "/tmp/x", "--", "true"], "given twice"],
    [[...shim, "--colour", "red", "--", "true"], '"--colour"'],
    [[...shim, "stray", "--", "true"], '"stray"'],
    [[...shim, "--pid-file"], "given twice"],
    [["pipe", "--socket"], "--socket needs a value"],
    [["pipe", "--socket", "--"], "--socket needs a value"],
    [["pipe", "--socket="], "--socket is empty"],
    [["pipe", "--socket", `/${"x".repeat(200)}`], "longer"],
    [replaced(hold, "--device", "../etc"), '"../etc"'],
    [replaced(hold, "--device", "a-name-that-is-too-long"), "not a name"],
    [replaced(hold, "--address", "10.0.0.256"), "not an IPv4 address"],
    [replaced(hold, "--address", "::1"), "not an IPv4 address"],
    [replaced(hold, "--deadline-ms", "0"), "--deadline-ms"],
    [replaced(hold, "--max-bytes", "-5"), "--max-bytes"],
    [[...hold, "--", "more"], '"more"'],
    [["announce", "--interface", "eth0"], "--address is missing"],
    [["announce", "--interface", "eth0", "--address", "10.0.0.1", "--count", "0"], "--count"],
  ])("%j is refused with exit code 2, by name", async (args, text) => {
    const { code, stdout, stderr } = await call(...args);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect((JSON.parse(stderr) as { error: string }).error).toContain(text);
  });

  it("tells its version, the repository's, and teaches", async () => {
    const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
    expect((await call("--version")).stdout).toBe(`aether-native ${version}\n`);
    const help = await call("--help");
    expect(help.code).toBe(0);
    for (const command of ["shim", "hold", "announce", "pipe", "launch"]) expect(help.stdout).toContain(`aether-native ${command} `);
  });

  it("says what the system refused, with exit code 1", async () => {
    const { code, stderr } = await call("pipe", "--socket", "/nowhere/at/all.sock");
    expect(code).toBe(1);
    expect(JSON.parse(stderr)).toEqual({ error: "pipe: cannot connect to /nowhere/at/all.sock: No such file or directory", errno: 2 });
  });
});

describe("pipe", () => {
  skipWhere(missing);
  let dir: string;
  let server: Server | undefined;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "aet-pipe-"));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));
  afterEach(() => server?.close());

  let count = 0;
  async function listen(onConnection: (socket: Socket) => void): Promise<string> {
    const path = join(dir, `${count++}.sock`);
    server = createServer({ allowHalfOpen: true }, onConnection);
    await new Promise<void>((resolve) => server?.listen(path, resolve));
    return path;
  }
  function startPipe(path: string) {
    const child = spawn(native, ["pipe", "--socket", path], { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin.on("error", () => child.stdin.destroy());
    return { child, ended: new Promise<number | null>((resolve) => child.once("close", resolve)) };
  }
  const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

  it("passes the end of input on, and still brings the answer back", async () => {
    const path = await listen((socket) => {
      const parts: Buffer[] = [];
      socket.on("data", (part: Buffer) => parts.push(part));
      socket.on("end", () => socket.end(`${Buffer.concat(parts).length} ${digest(Buffer.concat(parts))}`)); // only now
    });
    const input = randomBytes(3 << 20);
    const { stdout } = await run(native, ["pipe", "--socket", path], { deadlineMs: 10_000, input });
    expect(stdout).toBe(`${input.length} ${digest(input)}`);
  });

  it("carries megabytes both ways at once", async () => {
    const answer = randomBytes(4 << 20);
    const path = await listen((socket) => {
      socket.end(answer);
      socket.resume();
    });
    const { child, ended } = startPipe(path);
    const got: Buffer[] = [];
    child.stdout.on("data", (part: Buffer) => got.push(part));
    child.stdin.end(randomBytes(4 << 20));
    expect(await ended).toBe(0);
    expect(digest(Buffer.concat(got))).toBe(digest(answer));
  });

  it("works on real pipes too, with a slow reader", async () => {
    const answer = randomBytes(300_000);
    const path = await listen((socket) => socket.resume().end(answer));
    const command = `sleep 1 | "$0" pipe --socket "$1" | (sleep 0.3; sha256sum)`;
    const { stdout } = await run("bash", ["-c", command, native, path], { deadlineMs: 10_000 });
    expect(stdout.split(" ")[0]).toBe(digest(answer));
  });

  it("ends when the peer has gone, whatever its own input does", async () => {
    const path = await listen((socket) => {
      socket.write("bye");
      socket.destroySoon();
    });
    const { child, ended } = startPipe(path); // its input stays open
    let text = "";
    child.stdout.on("data", (part: Buffer) => {
      text += part;
    });
    expect(await ended).toBe(0);
    expect(text).toBe("bye");
  });
});

describe("launch", () => {
  skipWhere(missing ?? (process.getuid?.() === 0 ? undefined : "a mount namespace needs root"));

  it("puts a folder over /run for the command alone, and becomes the command", async () => {
    const dir = await mkdtemp(join(tmpdir(), "aet-run-"));
    await writeFile(join(dir, "only-here"), "");
    const { stdout } = await run(native, ["launch", "--run-dir", dir, "--", "sh", "-c", "ls /run; exit 5"], {
      deadlineMs: 5000,
      okCodes: [5],
    });
    expect(stdout).toBe("only-here\n");
    expect((await run("ls", ["/run"], { deadlineMs: 5000 })).stdout).not.toContain("only-here");
    await rm(dir, { recursive: true });
  });

  it("does not run the command where it may not be", async () => {
    const { stderr, code } = await call("launch", "--cgroup-procs", "/no/cgroup.procs", "--", "echo", "ran");
    expect([code, JSON.parse(stderr)]).toMatchObject([1, { errno: 2 }]);
    expect((await call("launch")).code).toBe(2);
    expect((await call("launch", "--", "/no/such/program")).stderr).toContain("cannot run /no/such/program");
  });
});

describe("launch --no-links-in", () => {
  skipWhere(missing ?? (process.getuid?.() === 0 ? undefined : "mounts need root"));
  it("reads links there and follows none, and changes nothing for others", async () => {
    const dir = await mkdtemp(join(tmpdir(), "aet-links-"));
    await writeFile(join(dir, "file"), "own");
    await symlink("/etc", join(dir, "host"));
    const look = "readlink host; cat file; cat host/passwd || echo refused";
    const kept = await run(native, ["launch", "--no-links-in", dir, "--", "sh", "-c", `cd ${dir}; ${look}`], { deadlineMs: 5000 });
    expect(kept.stdout).toBe("/etc\nownrefused\n");
    expect((await run("sh", ["-c", look], { deadlineMs: 5000, cwd: dir })).stdout).toContain("root:");
    await rm(dir, { recursive: true });
  });
});

describe("enter", () => {
  skipWhere(missing ?? (process.getuid?.() === 0 ? undefined : "the namespaces of others need root"));
  const enter = async (command: readonly string[], more: { ticks?: number } = {}) => {
    const stat = await readFile("/proc/self/stat", "utf8");
    const ticks = more.ticks ?? Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    const args = ["enter", "--pid", String(process.pid), "--start-ticks", String(ticks), "--capabilities", "9", "--", ...command];
    const okCodes = Array.from({ length: 256 }, (_, code) => code);
    return run(native, args, { deadlineMs: 5000, okCodes, env: { PATH: "/usr/bin:/bin", MINE: "1" }, isEnvWhole: true });
  };

  it("gives the command these capabilities, this environment, and no way to the program itself", async () => {
    const { stdout } = await enter([
      "sh",
      "-c",
      "grep -E '^(Cap|NoNew)' /proc/self/status; ls /proc/self/fd; readlink /proc/$PPID/exe || echo out of reach; env",
    ]);
    const lines = stdout.replaceAll(/:\t0*/g, ":").split("\n");
    for (const line of ["CapPrm:9", "CapEff:9", "CapBnd:9", "CapInh:", "CapAmb:", "NoNewPrivs:1", "MINE=1"]) expect(lines).toContain(line);
    expect(lines).toContain("out of reach");
    expect(lines.filter((line) => /^\d+$/.test(line))).toEqual(["0", "1", "2", "3"]); // 3: the folder that ls reads
    expect(lines.some((line) => line.startsWith("HOME="))).toBe(false);
  });

  it("ends as the command does, and enters nobody else than was meant", async () => {
    expect((await enter(["sh", "-c", "exit 9"])).code).toBe(9);
    expect((await enter(["sh", "-c", "kill -9 $$"])).code).toBe(137);
    expect(await enter(["/no/such"])).toMatchObject({ code: 127, stderr: expect.stringContaining("/no/such") });
    expect(await enter(["/etc/passwd"])).toMatchObject({ code: 126 });
    expect(await enter(["true"], { ticks: 1 })).toMatchObject({ code: 1, stderr: expect.stringContaining("not the one that was meant") });
  });
});

describe("unmount", () => {
  skipWhere(missing ?? (process.getuid?.() === 0 ? undefined : "mounts need root"));
  it("takes a mount of another mount namespace away, its folder too, and runs nothing of that place", async () => {
    const dir = await mkdtemp(join(tmpdir(), "aet-unmount-"));
    const script = `mount -t tmpfs none ${dir} && mkdir ${dir}/at && mount -t tmpfs none ${dir}/at && echo ready && sleep 60`;
    const child = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", script], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(child.stdout, "data");
      const text = await readFile(`/proc/${child.pid}/stat`, "utf8");
      const who = ["--pid", String(child.pid), "--start-ticks", text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? ""];
      const mounts = () => readFile(`/proc/${child.pid}/mountinfo`, "utf8");
      expect(await mounts()).toContain(`${dir}/at `);
      expect((await call("unmount", ...who, "--", `${dir}/at`, `${dir}/never`)).code).toBe(0);
      expect(await mounts()).not.toContain(`${dir}/at `);
      expect(await readdir(`/proc/${child.pid}/root${dir}`)).toEqual([]);
    } finally {
      child.kill("SIGKILL");
      await rm(dir, { recursive: true });
    }
  });
});

describe("announce", () => {
  skipWhere(missingPackets);
  const namespaces = createNamespaces();
  let here: string;
  let peer: string;
  beforeAll(async () => {
    if (missingPackets !== undefined) return;
    here = await namespaces.add("here");
    peer = await namespaces.add("peer");
    await ip("link", "add", "eth0", "netns", here, "type", "veth", "peer", "name", "eth0", "netns", peer);
    for (const name of [here, peer]) await ip("-n", name, "link", "set", "eth0", "up");
    await ip("-n", peer, "addr", "add", "10.98.0.2/24", "dev", "eth0");
  });
  afterAll(() => namespaces.remove());

  it("makes a neighbour send to this interface from now on", async () => {
    const mac = /link\/ether (\S+)/.exec((await ip("-n", here, "-o", "link", "show", "eth0")).stdout)?.[1];
    await ip("-n", peer, "neigh", "replace", "10.98.0.50", "lladdr", "02:00:00:00:00:01", "dev", "eth0", "nud", "reachable");
    const args = inside(here, native, "announce", "--interface", "eth0", "--address", "10.98.0.50", "--count", "2", "--interval-ms", "10");
    const { stdout } = await run(...args, { deadlineMs: 5000 });
    expect(JSON.parse(stdout)).toEqual({ event: "announced", count: 2, mac });
    expect((await ip("-n", peer, "neigh", "show", "10.98.0.50")).stdout).toContain(`lladdr ${mac}`);
  });

  it("refuses an interface that is not there, or that is not Ethernet", async () => {
    const on = (name: string) => inside(here, native, "announce", "--interface", name, "--address", "10.98.0.50");
    const absent = await run(...on("eth9"), { deadlineMs: 5000, okCodes: [1] });
    expect(JSON.parse(absent.stderr)).toMatchObject({ errno: 19 });
    const loopback = await run(...on("lo"), { deadlineMs: 5000, okCodes: [1] });
    expect(loopback.stderr).toContain("lo is not an Ethernet interface");
  });
});

/** `make -C native fuzz`, for a moment: that it is built is what a change of the sources breaks first. */
function missingFuzzer(): string | undefined {
  try {
    const library = `libclang_rt.fuzzer-${process.arch === "arm64" ? "aarch64" : "x86_64"}.a`;
    const path = execFileSync("clang", [`-print-file-name=${library}`], { encoding: "utf8" });
    return path.startsWith("/") ? undefined : "clang has no libFuzzer here (package libclang-rt-dev)";
  } catch {
    return "clang is not there";
  }
}

describe("what reads bytes of a peer or of an image", () => {
  skipWhere(missingFuzzer());
  it("takes arbitrary ones for a second each, with the sanitizers, and breaks nothing", async () => {
    const dir = await mkdtemp(join(tmpdir(), "aether-fuzz-"));
    try {
      const source = join(import.meta.dirname, "../../native");
      const { stderr } = await run("make", ["-C", source, "fuzz", "FUZZ_SECONDS=1", `BUILD=${dir}`], { deadlineMs: 100_000 });
      expect(stderr.match(/^Done \d+ runs/gm)).toHaveLength(2);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }, 120_000);
});
