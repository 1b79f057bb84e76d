// A workload from an OCI image layout: unpacked once, started as the image says, and moved with its image to a host that has no layout.
import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestEntry, writeLayout } from "../../../packages/engine/src/testing/oci-layout.ts";
import { openCounterClient } from "./counter-client.ts";
import { missingForEngine } from "./requirements.ts";
import { type EngineHost, openTopology, specOf, type Topology } from "./topology.ts";

const missing = missingForEngine();

/** A program of this machine and the libraries that it is linked with, as entries of a layer. */
async function programEntries(path: string): Promise<TestEntry[]> {
  const { stdout } = await run("ldd", [path], { deadlineMs: 10_000 });
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? "");
  return Promise.all([path, ...libraries].map(async (file) => ({ path: file.slice(1), body: await readFile(file), mode: 0o755 })));
}

/** criu reads the limits of processes of other users with this capability alone; some machines' root lacks it. */
const hasSysResource =
  ((BigInt(`0x${/^CapEff:\s*(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`) >> 24n) & 1n) === 1n;
const user = hasSysResource ? { name: "redis", uid: 1007, gid: 1008 } : { name: "root", uid: 0, gid: 0 };

describe.skipIf(missing !== undefined)(`an OCI image${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  let layout: string;
  const address = "10.214.1.1";
  beforeAll(async () => {
    hosts = await openTopology("aeo", 214);
    layout = join(hosts.dir, "layout");
    const programs = await Promise.all([programEntries("/usr/bin/redis-server"), programEntries("/usr/bin/cat")]);
    await writeLayout(
      layout,
      [
        { compression: "zstd", entries: [...programs.flat(), { path: "etc/passwd", body: "root:x:0:0::/:\nredis:x:1007:1008::/data:\n" }] },
        {
          compression: "gzip",
          entries: [
            { path: "data", flag: "5", uid: user.uid, gid: user.gid },
            { path: "etc/marker", body: "from the image" },
          ],
        },
      ],
      {
        config: {
          Env: ["WHO=image", "PATH=/usr/bin"],
          Entrypoint: ["redis-server"],
          Cmd: ["--bind", "0.0.0.0", "--protected-mode", "no", "--appendonly", "yes", "--save", ""],
          WorkingDir: "/data",
          User: user.name,
        },
      },
    );
  });
  afterAll(() => hosts?.close());

  async function move(spec: ReturnType<typeof specOf>, epoch: number, from: EngineHost, to: EngineHost): Promise<void> {
    const ref = { migrationId: `mig-${spec.name}-${epoch}`, workload: spec.name, epoch };
    const ready = await to.call("prepare", ref, spec, from.id, "stop-and-copy");
    const peer = { nodeId: to.id, address: ready.linkAddress, port: ready.linkPort };
    await from.call("copy", ref, peer, "stop-and-copy");
    await Promise.all([from.call("freeze", ref, peer, "stop-and-copy"), to.call("restore", ref, "stop-and-copy")]);
    await to.call("resume", ref);
    await from.call("release", ref);
  }

  it("starts as the image says, survives a kill while unpacking, and moves with its image", async () => {
    const spec = specOf("img", address, [], { rootfs: `oci:${layout}`, workingDirectory: "" });
    await hosts.a.kill();
    await hosts.a.restart({ AETHER_FAULTS: "image.before_rename=kill" });
    await expect(hosts.a.call("start", spec, 1)).rejects.toThrow();
    await hosts.a.restart({ SECRET_OF_THE_AGENT: "x" });
    expect((await readdir(join(hosts.dir, "a/images"))).filter((name) => name.startsWith("sha256-"))).toEqual([]);
    await hosts.a.call("start", spec, 1);
    const status = (await hosts.a.call("exec", "img", ["cat", "/proc/1/status"])).stdout;
    expect(status).toMatch(new RegExp(`^Uid:\\s+${user.uid}\\s+${user.uid}`, "m"));
    expect(status).toMatch(new RegExp(`^Gid:\\s+${user.gid}\\s+${user.gid}`, "m"));
    expect((await hosts.a.call("exec", "img", ["cat", "/proc/self/environ"])).stdout).toContain("WHO=image");
    // What is run inside later is a file that the workload may have written: it has the workload's rights and nothing of ours.
    const inside = (await hosts.a.call("exec", "img", ["cat", "/proc/self/status", "/proc/self/environ"])).stdout;
    const field = (text: string, name: string) => new RegExp(`^${name}:\\s*(\\S+)$`, "m").exec(text)?.[1];
    expect(field(status, "CapBnd")).toMatch(/[1-9a-f]/);
    for (const name of ["CapBnd", "CapPrm", "CapEff"]) expect(field(inside, name)).toBe(field(status, "CapBnd"));
    expect(field(inside, "NoNewPrivs")).toBe("1");
    expect(inside).not.toContain("SECRET_OF_THE_AGENT");

    const client = await openCounterClient(address);
    try {
      await client.answers(20);
      await rm(layout, { recursive: true }); // the other host shares this file system: what it has now came over the link
      let [from, to] = [hosts.a, hosts.b];
      for (const epoch of [1, 2]) {
        await move(spec, epoch, from, to);
        await client.answers(20);
        expect((await to.call("exec", "img", ["cat", "/etc/marker"])).stdout).toBe("from the image");
        [from, to] = [to, from];
      }
      expect(client.wrong()).toBe(0);
      expect(client.error()).toBeUndefined();
      const unpacked = async (host: string) =>
        (await readdir(join(hosts.dir, host, "images"))).filter((name) => name.startsWith("sha256-"));
      expect(await unpacked("b")).toEqual(await unpacked("a"));
    } finally {
      client.close();
      await hosts.a.call("remove", "img");
    }
  });

  it("so does a directory that both hosts have: nothing is written in it, and what the workload writes goes with it", async () => {
    const root = join(hosts.dir, "root");
    for (const { path, body, mode } of (await Promise.all([programEntries("/usr/bin/sleep"), programEntries("/usr/bin/cat")])).flat()) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), body ?? "", { mode: mode ?? 0o644 });
    }
    for (const [path, text] of [
      ["bin/sh", await readFile("/bin/sh")],
      ["mine", "of the directory"],
    ] as const) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text, { mode: 0o755 });
    }
    const spec = specOf("dir", address, ["sh", "-c", "echo written > /mine; exec sleep 600"], { rootfs: root });
    await hosts.a.call("start", spec, 1);
    await move(spec, 1, hosts.a, hosts.b);
    expect((await hosts.b.call("exec", "dir", ["cat", "/mine"])).stdout).toBe("written\n");
    expect(await readFile(join(root, "mine"), "utf8")).toBe("of the directory");
    await hosts.b.call("remove", "dir");
  });
});
