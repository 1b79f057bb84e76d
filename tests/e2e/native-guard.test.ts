// The guard of a freeze, and what mends sockets, each by itself: files stand for the freezer, a loopback connection for a workload's.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, sleep } from "@aether/kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { missingProgram, native, type Program, skipWhere, start } from "./native-program.ts";

let dir: string;
let programs: Program[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-guard-"));
  programs = [];
});
afterEach(async () => {
  for (const program of programs) program.child.kill("SIGKILL");
  await rm(dir, { recursive: true, force: true });
});

const begin = (file: string, args: readonly string[]) => {
  const program = start(file, args);
  programs.push(program);
  return program;
};
const textOf = (name: string) => readFile(join(dir, name), "utf8").catch(() => "");

describe("the guard of a freeze", () => {
  skipWhere(missingProgram());

  async function guard(silenceMs: number, ...more: readonly string[]) {
    for (const name of ["freezer", "procs"]) await writeFile(join(dir, name), "");
    const files = ["--procs", join(dir, "procs"), "--freezer", join(dir, "freezer"), "--thaw", "THAWED"];
    const led = ["--", "/bin/sh", "-c", `cat ${join(dir, "freezer")} > ${join(dir, "before")}; echo led > ${join(dir, "led")}`];
    const program = begin(native, ["guard", ...files, "--silence-ms", String(silenceMs), ...more, ...led]);
    await program.event("armed");
    return program;
  }

  it("leads home, then thaws, when its agent is gone", async () => {
    const armed = await guard(20_000);
    armed.child.stdin.end();
    await armed.event("fired");
    expect([await textOf("led"), await textOf("before"), await textOf("freezer")]).toEqual(["led\n", "", "THAWED"]);
  });

  it("does so when its agent is silent, and not while it gives signs of life", async () => {
    const armed = await guard(400);
    for (let i = 0; i < 5; i++) {
      await sleep(150);
      armed.child.stdin.write("ping\n");
    }
    expect(await textOf("freezer")).toBe("");
    await armed.event("fired");
    expect(await textOf("freezer")).toBe("THAWED");
  });

  it("lets go when it is asked to, and then does nothing any more", async () => {
    const armed = await guard(300);
    armed.child.stdin.end("disarm\n");
    await armed.event("disarmed");
    expect(await armed.ended).toBe(0);
    await sleep(400);
    expect([await textOf("led"), await textOf("freezer")]).toEqual(["", ""]);
  });

  it("waits for a dump that works, and not for one that is done", async () => {
    const dump = begin("/usr/bin/setsid", [
      "--fork",
      "sh",
      "-c",
      `echo '{"event":"pid","pid":'$$'}'; sleep 0.6; echo done > ${join(dir, "dumped")}`,
    ]);
    const { pid } = await dump.event("pid");
    const armed = await guard(20_000, "--group", String(pid), "--group-ms", "5000");
    armed.child.stdin.end();
    await armed.event("fired");
    expect(await textOf("dumped")).toBe("done\n");

    const server = begin("/usr/bin/setsid", ["--fork", "sh", "-c", `echo '{"event":"pid","pid":'$$'}'; exec sleep 30`]);
    const served = await server.event("pid");
    const second = await guard(20_000, "--group", String(served.pid), "--group-ms", "20000");
    second.child.stdin.end("done\n");
    await second.event("fired");
    await expect(
      readFile(`/proc/${served.pid}/cmdline`, "utf8").then((text) => (text === "" ? Promise.reject(new Error("ended")) : text)),
    ).rejects.toThrow();
  });
});

describe("mending sockets", () => {
  const python = "/usr/bin/python3";
  const noRoot = process.getuid?.() === 0 ? undefined : "repair mode of TCP needs root";
  skipWhere(missingProgram() ?? noRoot ?? (existsSync(python) ? undefined : "needs python3"));

  it("takes connections out of repair mode: they take data again", async () => {
    const source = `
import json, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(listener.getsockname()); far, _ = listener.accept()
TCP_REPAIR = 19
near.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
def attempt():
    try: return near.send(b"hello")
    except OSError as error: return -error.errno
print(json.dumps({"event": "broken", "sent": attempt()}), flush=True)
sys.stdin.readline()
sent = attempt()
print(json.dumps({"event": "mended", "sent": sent, "got": far.recv(10).decode() if sent > 0 else ""}), flush=True)
`;
    const program = begin(python, ["-c", source]);
    expect(await program.event("broken")).toMatchObject({ sent: -22 });
    await writeFile(join(dir, "procs"), `${program.child.pid}\n`);
    const mended = await run(native, ["mend-sockets", "--procs", join(dir, "procs")], { deadlineMs: 5000 });
    expect(JSON.parse(mended.stdout)).toEqual({ event: "mended", count: 1 });
    program.child.stdin.write("\n");
    expect(await program.event("mended")).toMatchObject({ sent: 5, got: "hello" });
  });
});
