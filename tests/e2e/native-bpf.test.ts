// The second native program on the running kernel: what it says of a process that is stopped and goes on, and what a client's connection
// goes through while its packets are dropped. Skips, with the reason, where the program or the kernel cannot.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rmdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { run, sleep, until } from "@aether/kit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createNamespaces, inside, ip, type Program, skipWhere, start } from "./native-program.ts";

const program = fileURLToPath(new URL("../../native/build/aether-bpf", import.meta.url));
const missing =
  process.getuid?.() !== 0
    ? "programs in the kernel need root"
    : existsSync(program)
      ? undefined
      : "native/build/aether-bpf is not there: make -C native (needs clang, libbpf-dev, libelf-dev, zlib1g-dev)";

const address = "10.98.0.2";
const namespaces = createNamespaces();
const programs: Program[] = [];
let client: string;
let server: string;

interface Helper extends Program {
  ask(...words: (string | number)[]): Promise<Record<string, any>>;
}
async function helper(...command: [string, string[]]): Promise<Helper> {
  const started = start(...command);
  programs.push(started);
  await started.event("ready");
  let next = 1;
  return {
    ...started,
    async ask(...words) {
      const id = next++;
      started.child.stdin.write(`${[id, ...words].join(" ")}\n`);
      return until(`the answer to ${words[0]}`, 2, 5000, async () => started.lines.find((line) => line.id === id));
    },
  };
}
const script = (namespace: string, source: string) => {
  const started = start(...inside(namespace, process.execPath, "--input-type=module", "--eval", source));
  programs.push(started);
  return started;
};

describe("programs in the kernel", () => {
  skipWhere(missing);
  beforeAll(async () => {
    if (missing !== undefined) return;
    client = await namespaces.add("client");
    server = await namespaces.add("server");
    await ip("link", "add", "eth0", "netns", client, "type", "veth", "peer", "name", "eth0", "netns", server);
    for (const [namespace, own] of [
      [client, "10.98.0.1"],
      [server, address],
    ] as const) {
      await run("ip", ["-n", namespace, "-batch", "-"], { deadlineMs: 5000, input: `addr add ${own}/24 dev eth0\nlink set eth0 up\n` });
    }
  });
  afterEach(async () => {
    for (const one of programs.splice(0)) {
      one.child.kill("SIGKILL");
      await one.ended;
    }
  });
  afterAll(() => namespaces.remove());

  it("answers what works by doing it, and refuses what it does not know", async () => {
    const { ask, child, ended } = await helper(program, []);
    const { observe, hold } = await ask("probe");
    expect(Object.keys(observe)).toContain("works");
    expect(Object.keys(hold).sort()).toEqual(["tcDrop", "tcErrno", "xdpErrno", "xdpIcmp"]);
    expect(await ask("dance")).toMatchObject({ errno: 22 });
    expect(await ask("facts", "nobody")).toMatchObject({ errno: 2 });
    expect(await ask("hold", address, 0, "none0", "tc_drop", 1000)).toMatchObject({ errno: 19 });
    expect(await ask("hold", "nonsense", 0, "lo", "tc_drop", 1000)).toMatchObject({ errno: 22 });
    expect(await ask("sockets", "/proc/self/ns/none")).toMatchObject({ errno: 2 });
    child.stdin.end();
    expect(await ended).toBe(0);
  });

  it("says when a workload was stopped and when it ran again, to the millisecond", async (context) => {
    const { ask } = await helper(program, []);
    if (!(await ask("probe")).observe.works) context.skip("this kernel does not take the programs");
    const root = existsSync("/sys/fs/cgroup/cgroup.controllers") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
    const cgroup = `${root}/aether-test-${process.pid}`;
    const busy = spawn(process.execPath, ["-e", "setInterval(() => { for (let i = 0; i < 1e5; i++); }, 1)"], { stdio: "ignore" });
    try {
      await mkdir(cgroup);
      await writeFile(`${cgroup}/cgroup.procs`, String(busy.pid));
      expect(await ask("arm", "w", cgroup, `/proc/${busy.pid}/ns/net`)).toMatchObject({ armedUs: expect.any(Number) });
      await sleep(100);
      const running = await ask("facts", "w");
      expect(running).toMatchObject({ stoppedUs: null, resetsSent: 0, ranUs: expect.any(Number), waitP99Us: expect.any(Number) });
      const monotonicUs = () => Number(process.hrtime.bigint() / 1000n);
      const beforeUs = monotonicUs();
      busy.kill("SIGSTOP");
      const { stoppedUs } = await until("it to stop", 5, 3000, async () => {
        const facts = await ask("facts", "w");
        return facts.stoppedUs === null ? undefined : facts;
      });
      expect(stoppedUs).toBeGreaterThanOrEqual(beforeUs);
      expect(stoppedUs).toBeLessThan(monotonicUs());
      await ask("arm", "w", cgroup, `/proc/${busy.pid}/ns/net`);
      await sleep(50);
      expect(await ask("facts", "w")).toMatchObject({ ranUs: null });
      const continuedUs = monotonicUs();
      busy.kill("SIGCONT");
      const { ranUs } = await until("it to run", 5, 3000, async () => {
        const facts = await ask("facts", "w");
        return facts.ranUs === null ? undefined : facts;
      });
      expect(ranUs).toBeGreaterThanOrEqual(continuedUs);
      expect(await ask("drop", "w")).toMatchObject({ watched: 0 });
    } finally {
      busy.kill("SIGKILL");
      await until("the cgroup to be empty", 10, 3000, () =>
        rmdir(cgroup).then(
          () => true,
          () => undefined,
        ),
      );
    }
  });

  it.each(["xdp_icmp", "tc_drop"])(
    "drops by %s, opens at the deadline, and the client's connection lives",
    { retry: 1 },
    async (method) => {
      const echo = script(
        server,
        `import { createServer } from "node:net";
       createServer((socket) => socket.pipe(socket)).listen(7000, "${address}", () => console.log(JSON.stringify({ event: "listening" })));`,
      );
      await echo.event("listening");
      const peer = script(
        client,
        `import { connect } from "node:net";
       const socket = connect(7000, "${address}", () => console.log(JSON.stringify({ event: "connected" })));
       socket.on("error", (error) => console.log(JSON.stringify({ event: "failed", text: String(error) })));
       process.stdin.on("data", (text) => socket.write(text));
       socket.on("data", (text) => console.log(JSON.stringify({ event: "answer", text: String(text) })));`,
      );
      await peer.event("connected");
      const first = await helper(...inside(server, program));
      expect(await first.ask("hold", address, 0, "eth0", method, 1200)).toMatchObject({ held: true });
      peer.child.stdin.write("one");
      await sleep(400);
      expect(peer.lines.filter(({ event }) => event === "answer")).toEqual([]);
      const held = await first.ask("held", address, 0);
      expect(held.dropped).toBeGreaterThan(0);
      if (method === "xdp_icmp") expect(held.answered).toBeGreaterThan(0);
      // The owner dies: the rule still ends at its deadline, and the next owner replaces what was left.
      first.child.kill("SIGKILL");
      expect((await peer.event("answer")).text).toBe("one");
      const second = await helper(...inside(server, program));
      expect(await second.ask("hold", address, 7000, "eth0", method, 60_000)).toMatchObject({ held: true });
      const from = peer.lines.length;
      peer.child.stdin.write("two");
      await sleep(150);
      expect(peer.lines.length).toBe(from);
      expect((await second.ask("release", address, 7000)).dropped).toBeGreaterThan(0);
      expect((await peer.event("answer", from)).text).toBe("two");
      expect((await second.ask("sockets", `/run/netns/${server}`)).established).toBe(1);
      expect((await run("ip", ["-n", server, "link", "show", "eth0"], { deadlineMs: 5000 })).stdout).not.toContain("xdp");
      second.child.stdin.end();
      expect(await second.ended).toBe(0);
    },
  );
});
