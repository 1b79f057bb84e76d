// Files are state too: what of them must arrive, and what must be the same on both hosts before anything stops.
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { missingForEngine } from "./requirements.ts";
import { type EngineHost, openTopology, specOf, type Topology } from "./topology.ts";

const missing = missingForEngine();
const mode = "stop-and-copy";
const target = { lazyPages: true, cpuFeatures: [] };
const native = join(import.meta.dirname, "../../../native/build/aether-native");

describe.skipIf(missing !== undefined)(`the files of a workload${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  let outside: string;
  let [same, apart] = ["", ""];
  let counter = 0;
  beforeAll(async () => {
    outside = await mkdtemp("/var/tmp/aether-files-");
    [same, apart] = [join(outside, "same"), join(outside, "apart")];
    for (const dir of [join(outside, "storage"), join(outside, "other"), same, apart]) await mkdir(dir);
    await run("mount", ["--bind", join(outside, "storage"), same], { deadlineMs: 5_000 });
    // Host b has something else at that path, as a machine has where nobody mounted the storage.
    const hide = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"'];
    hosts = await openTopology("aef", 214, {}, undefined, (id) => (id === "b" ? [...hide, join(outside, "other"), apart] : []));
  });
  afterAll(async () => {
    await hosts?.close();
    await run("umount", [same], { deadlineMs: 5_000, okCodes: [0, 32] });
    await rm(outside, { recursive: true, force: true });
  });

  async function prepare(spec: any, from: EngineHost, to: EngineHost) {
    const ref = { migrationId: `mig-files-${++counter}`, workload: spec.name, epoch: 1 };
    const ready = await to.call("prepare", ref, spec, from.id, mode);
    return { ref, peer: { nodeId: to.id, address: ready.linkAddress, port: ready.linkPort } };
  }

  async function move(spec: any) {
    const { ref, peer } = await prepare(spec, hosts.a, hosts.b);
    await hosts.a.call("copy", ref, peer, mode);
    const [frozen, restored] = await Promise.all([hosts.a.call("freeze", ref, peer, mode), hosts.b.call("restore", ref, mode)]);
    await hosts.b.call("resume", ref);
    await hosts.a.call("release", ref);
    return { frozen, restored };
  }

  const startAt = async (host: EngineHost, spec: any) => {
    await host.call("start", spec, 1);
    await new Promise((resolve) => setTimeout(resolve, 400));
  };
  const inside = async (host: EngineHost, name: string, command: string) =>
    (await host.call("exec", name, ["sh", "-c", command])).stdout.trim();
  const probes = async (...dirs: string[]) =>
    (await Promise.all(dirs.map((dir) => readdir(dir)))).flat().filter((name) => name.startsWith(".aether-probe"));

  it("a shared volume that is the same on both hosts is found to be, and its workload moves", async () => {
    const volumes = [{ source: same, destination: "/data", mode: "shared" }];
    const spec = specOf("same", "10.214.1.1", ["sh", "-c", "while :; do echo x >> /data/log; sleep 0.05; done"], { volumes });
    await startAt(hosts.a, spec);
    await hosts.a.call("phases");
    await move(spec);
    const phases: any[] = await hosts.a.call("phases");
    expect(phases.find(({ name }) => name === "copy.shared").facts[same]).toBe("written on each node, read on the other");
    const before = (await readFile(join(same, "log"), "utf8")).length;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await readFile(join(same, "log"), "utf8")).length).toBeGreaterThan(before);
    expect(await probes(same)).toEqual([]);
    await hosts.b.call("remove", "same");
  });

  it("one that is not is refused by name before anything stops, and nothing is left of the question, also after a kill in it", async () => {
    const volumes = [
      { source: same, destination: "/good", mode: "shared" },
      { source: apart, destination: "/data", mode: "shared" },
    ];
    const spec = specOf("apart", "10.214.1.2", ["sh", "-c", "while :; do date +%s%N >> /data/now; sleep 0.02; done"], { volumes });
    await startAt(hosts.a, spec);
    const { ref, peer } = await prepare(spec, hosts.a, hosts.b);
    const refused = await hosts.a.call("copy", ref, peer, mode).then(
      () => undefined,
      (caught: Error & { code?: string }) => caught,
    );
    expect(refused).toMatchObject({ code: "VOLUME_NOT_SHARED", message: expect.stringContaining(`${apart}: `) });
    expect(refused?.message).toContain("a file written here does not show up there");
    expect(await probes(same, apart, join(outside, "other"))).toEqual([]);
    await hosts.b.call("abort", ref);

    const again = await prepare(spec, hosts.a, hosts.b);
    await hosts.a.kill();
    await hosts.a.restart({ AETHER_FAULTS: "shared.probe_written=kill" });
    await expect(hosts.a.call("copy", again.ref, again.peer, mode)).rejects.toThrow();
    expect(await probes(same, apart)).toHaveLength(1);
    await hosts.a.restart();
    expect(await probes(same, apart)).toEqual([]);
    await hosts.b.call("abort", again.ref);
    const before = await readFile(join(apart, "now"), "utf8");
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await readFile(join(apart, "now"), "utf8")).not.toBe(before);
    await hosts.a.call("remove", "apart");
  });

  it("hard links, holes, extended attributes, owners and deletions arrive; so does a file that is open and has no name any more", async () => {
    const script = [
      "mkdir /var/t; cd /var/t; exec 3<>ghost; echo hidden >&3; rm ghost",
      "echo one > name; ln name same; truncate -s 64M holes; printf x | dd of=holes bs=1 seek=33554432 conv=notrunc 2>/dev/null",
      "echo gone > late; chown 12:34 name; chmod 2750 .; while :; do sleep 1000; done",
    ].join("; ");
    const spec = specOf("tree", "10.214.1.3", ["sh", "-c", script]);
    const { pid } = await hosts.a.call("start", spec, 1);
    await new Promise((resolve) => setTimeout(resolve, 600));
    const record = (name: string, value: string) => `/proc/${pid}/root/var/t/name\0${name}\0${Buffer.from(value).toString("hex")}\0`;
    const attributes = record("user.colour", "blue") + record("trusted.secret", "yes");
    await run(native, ["xattr", "set"], { deadlineMs: 5_000, input: Buffer.from(attributes) });
    const report = await hosts.a.call("preflight", "tree", "auto", target);
    expect(report.blockers).toEqual([]);
    expect(report.warnings.map((one: any) => one.code)).toContain("DELETED_FILE_TRAVELS");

    const { ref, peer } = await prepare(spec, hosts.a, hosts.b);
    await hosts.a.call("copy", ref, peer, mode);
    await inside(hosts.a, "tree", "rm /var/t/late; echo two >> /var/t/same");
    const [frozen, restored] = await Promise.all([hosts.a.call("freeze", ref, peer, mode), hosts.b.call("restore", ref, mode)]);
    expect(restored.manifest.root).toBe(frozen.manifest.root);
    await hosts.b.call("resume", ref);
    await hosts.a.call("release", ref);
    const seen = await inside(
      hosts.b,
      "tree",
      "cd /var/t; ls | xargs; stat -c '%h %u:%g' same; cat name | xargs; stat -c '%s %b' holes; stat -c %a .; cat /proc/1/fd/3",
    );
    const [names, link, text, holes = "", dirMode, ghost] = seen.split("\n");
    expect([names, link, text, dirMode, ghost]).toEqual(["holes name same", "2 12:34", "one two", "2750", "hidden"]);
    expect(holes.split(" ")[0]).toBe(String(64 << 20));
    expect(Number(holes.split(" ")[1])).toBeLessThan(2_048); // blocks of 512 bytes
    const there = (await hosts.b.call("list")).find((one: any) => one.name === "tree").pid;
    const { stdout } = await run(native, ["xattr", "get"], {
      deadlineMs: 5_000,
      input: Buffer.from(`/proc/${there}/root/var/t/name\0`),
    });
    expect(stdout).toContain(`user.colour ${Buffer.from("blue").toString("hex")}`);
    expect(stdout).toContain(`trusted.secret ${Buffer.from("yes").toString("hex")}`);

    // The same through a snapshot, and back on the first host.
    await hosts.b.call("snapshot", "tree", "snap-tree");
    await hosts.b.call("remove", "tree");
    await hosts.a.call("restoreSnapshot", "snap-tree", spec, 3);
    const back = await inside(
      hosts.a,
      "tree",
      "cd /var/t; ls | xargs; stat -c '%h %u:%g' same; cat name | xargs; stat -c '%s %b' holes; stat -c %a .; cat /proc/1/fd/3",
    );
    expect(back.split("\n").toSpliced(3, 1)).toEqual(["holes name same", "2 12:34", "one two", "2750", "hidden"]);
    expect(Number(back.split("\n")[3]?.split(" ")[1])).toBeLessThan(2_048);
    await hosts.a.call("remove", "tree");
    await hosts.a.call("removeSnapshot", "snap-tree");
  });

  it("a watch of a directory in the writable layer travels and goes on; one of what has no path any more is refused by name", async () => {
    const watch = (path: string, mask: string) => `my $fd = syscall(294, 0); syscall(254, $fd, my $p = '${path}', ${mask});`;
    const loop =
      "open(my $in, '<&=', $fd); $| = 1; while (sysread($in, my $event, 4096)) { open(S, '>>', '/var/seen'); print S 'x'; close S }";
    const spec = specOf("watch", "10.214.1.5", ["/usr/bin/perl", "-e", `mkdir '/var/w'; ${watch("/var/w", "0x100")} ${loop}`]);
    await startAt(hosts.a, spec);
    expect((await hosts.a.call("preflight", "watch", "auto", target)).blockers).toEqual([]);
    await move(spec);
    await inside(hosts.b, "watch", "touch /var/w/one");
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await inside(hosts.b, "watch", "cat /var/seen")).toBe("x");
    await hosts.b.call("remove", "watch");
    const lost = specOf("lost", "10.214.1.6", [
      "/usr/bin/perl",
      "-e",
      `open(F, '>', '/var/f'); ${watch("/var/f", "0x2")} unlink '/var/f'; sleep 600`,
    ]);
    await startAt(hosts.a, lost);
    expect((await hosts.a.call("preflight", "lost", "auto", target)).blockers).toMatchObject([{ code: "INOTIFY_LOST_PATH" }]);
    await hosts.a.call("remove", "lost");
  });

  it("an open file without a name that is too large is refused by name", async () => {
    const script = "exec 3<>/var/big; rm /var/big; head -c 70000000 /dev/zero >&3; exec sleep 600";
    const spec = specOf("big", "10.214.1.4", ["sh", "-c", script]);
    await startAt(hosts.a, spec);
    const report = await hosts.a.call("preflight", "big", "auto", target);
    expect(report.blockers).toMatchObject([{ code: "DELETED_FILE_TOO_LARGE", subject: expect.stringContaining("/var/big") }]);
    await hosts.a.call("remove", "big");
  });
});
