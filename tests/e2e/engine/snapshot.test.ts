// Snapshots of a workload with some memory, under writes: what it stands still for, what is refused, and that what comes back is what was.
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCounterClient } from "./counter-client.ts";
import { missingForEngine } from "./requirements.ts";
import { openTopology, specOf, type Topology } from "./topology.ts";

const missing = missingForEngine();
const address = "10.215.1.1";
const redis = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dbfilename", "aether-snapshot-test.rdb"];
const cli = async (...args: string[]) => (await run("redis-cli", ["-h", address, ...args], { deadlineMs: 30_000 })).stdout.trim();
const digestOfAll = "local s='' for i=1,40000,7 do s=redis.sha1hex(s..redis.call('get','k'..i)) end return s";

describe.skipIf(missing !== undefined)(`snapshots under writes${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  beforeAll(async () => {
    hosts = await openTopology("aes", 215);
    for (const host of [hosts.a, hosts.b]) expect(await host.call("canary")).toMatchObject({ reason: "", isAvailable: true });
  });
  afterAll(() => hosts?.close());

  it("copies memory before the stop, reads little inside it, refuses what would stand still for too long, and brings all of it back", async ({
    skip,
  }) => {
    const canary = await hosts.a.call("canary");
    if (canary.noTracking !== "") skip(`memory cannot be tracked here: ${canary.noTracking}`);
    const spec = specOf("mem", address, redis);
    await hosts.a.call("start", spec, 1);
    for (let i = 0; i < 100; i++) {
      if ((await run("redis-cli", ["-h", address, "ping"], { deadlineMs: 5000, okCodes: [0, 1] })).stdout.includes("PONG")) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await cli("eval", "for i=1,40000 do redis.call('set','k'..i,string.rep(redis.sha1hex(i),100)) end return 1", "0");
    const digests = { second: "", third: "" };
    const client = await openCounterClient(address);
    try {
      await client.answers(20);
      await hosts.a.call("phases");
      const first = await hosts.a.call("snapshot", "mem", "snap-first");
      const phases: string[] = (await hosts.a.call("phases")).map((one: any) => one.name);
      expect(phases).toEqual(expect.arrayContaining(["snapshot.memory", "snapshot.dump", "snapshot.merge"]));
      expect(first.manifest.memoryBytes).toBeGreaterThan(150 << 20);
      expect(first.freezeBytes).toBeLessThan(first.manifest.memoryBytes / 10);
      expect(first).toMatchObject({ sinceSnapshotId: "", wholeBecause: expect.stringContaining("first since the agent") });
      expect(first.readBytes).toBeGreaterThan(first.manifest.memoryBytes * 0.9);
      await client.answers(20);

      await hosts.a.call("phases");
      await expect(hosts.a.call("snapshot", "mem", "snap-none", { maxFreezeMs: 1 })).rejects.toMatchObject({
        code: "SNAPSHOT_OVER_BUDGET",
      });
      expect((await hosts.a.call("phases")).map((one: any) => one.name)).not.toContain("snapshot.dump");
      await expect(hosts.a.call("verifySnapshot", "snap-none", spec)).rejects.toMatchObject({ code: "SNAPSHOT_NOT_FOUND" });

      // A chain: each reads what was written since the one before.
      await cli("set", "late", "yes");
      const second = await hosts.a.call("snapshot", "mem", "snap-second", { maxFreezeMs: 60_000 });
      digests.second = await cli("eval", digestOfAll, "0");
      await cli("eval", "for i=1,40000,40 do redis.call('set','k'..i,string.rep(redis.sha1hex('new'..i),100)) end return 1", "0");
      const third = await hosts.a.call("snapshot", "mem", "snap-third");
      digests.third = await cli("eval", digestOfAll, "0");
      for (const [made, since] of [
        [second, "snap-first"],
        [third, "snap-second"],
      ]) {
        expect(made).toMatchObject({ sinceSnapshotId: since, wholeBecause: "" });
        expect(made.readBytes).toBeLessThan(made.manifest.memoryBytes / 3);
        expect(made.storedBytes).toBeLessThan(first.storedBytes / 2);
        expect(made.manifest.memoryBytes).toBeGreaterThan(150 << 20);
      }
      await client.answers(20);
      expect([client.wrong(), client.error()]).toEqual([0, undefined]);
    } finally {
      client.close();
    }
    await hosts.a.kill(); // what ran on it goes on: its memory is tracked by nobody now
    await hosts.a.restart();
    await hosts.a.call("canary");
    expect(await hosts.a.call("snapshot", "mem", "snap-whole")).toMatchObject({
      sinceSnapshotId: "",
      wholeBecause: expect.stringContaining("since the agent of this node started"),
    });
    await hosts.a.kill(); // the node is gone; what ran on it is killed by the test
    await hosts.a.restart();
    await hosts.a.call("remove", "mem");

    const text = (of: string) => createHash("sha1").update(of).digest("hex").repeat(100);
    await hosts.b.call("restoreSnapshot", "snap-third", spec, 2);
    expect(await cli("dbsize")).toBe("40002");
    expect(await cli("get", "late")).toBe("yes");
    expect(await cli("eval", digestOfAll, "0")).toBe(digests.third);
    expect([await cli("get", "k77"), await cli("get", "k41")]).toEqual([text("77"), text("new41")]);
    await hosts.b.call("remove", "mem");

    // One that is damaged is refused; the one before it is whole, whatever they share.
    const store = join(hosts.dir, "snapshots");
    const chunksOf = async (id: string): Promise<string[]> =>
      JSON.parse((await readFile(join(store, "manifests", id))).toString("latin1").split("\n", 1)[0]!).chunks;
    const older = new Set(await chunksOf("snap-second"));
    const own = (await chunksOf("snap-third")).find((id) => !older.has(id))!;
    const path = join(store, "chunks", own.slice(0, 2), own);
    const bytes = await readFile(path);
    bytes[40] = bytes[40]! ^ 1;
    await writeFile(path, bytes);
    await expect(hosts.b.call("restoreSnapshot", "snap-third", spec, 3)).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
    await hosts.b.call("restoreSnapshot", "snap-second", spec, 3);
    expect(await cli("eval", digestOfAll, "0")).toBe(digests.second);
    await hosts.b.call("remove", "mem");
  });
});
