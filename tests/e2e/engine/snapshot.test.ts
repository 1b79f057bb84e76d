// Snapshots of a workload with some memory, under writes: what it stands still for, what is refused, and that what comes back is what was.
import { createHash } from "node:crypto";
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
    const digest = await cli("eval", digestOfAll, "0");
    const client = await openCounterClient(address);
    try {
      await client.answers(20);
      await hosts.a.call("phases");
      const first = await hosts.a.call("snapshot", "mem", "snap-first");
      const phases: string[] = (await hosts.a.call("phases")).map((one: any) => one.name);
      expect(phases).toEqual(expect.arrayContaining(["snapshot.memory", "snapshot.dump", "snapshot.merge"]));
      expect(first.manifest.memoryBytes).toBeGreaterThan(150 << 20);
      expect(first.freezeBytes).toBeLessThan(first.manifest.memoryBytes / 10);
      await client.answers(20);

      await hosts.a.call("phases");
      await expect(hosts.a.call("snapshot", "mem", "snap-none", { maxFreezeMs: 1 })).rejects.toMatchObject({
        code: "SNAPSHOT_OVER_BUDGET",
      });
      expect((await hosts.a.call("phases")).map((one: any) => one.name)).not.toContain("snapshot.dump");
      await expect(hosts.a.call("verifySnapshot", "snap-none", spec)).rejects.toMatchObject({ code: "SNAPSHOT_NOT_FOUND" });

      await cli("set", "late", "yes");
      const second = await hosts.a.call("snapshot", "mem", "snap-second", { maxFreezeMs: 60_000 });
      expect(second.storedBytes).toBeLessThan(first.storedBytes / 2);
      await client.answers(20);
      expect([client.wrong(), client.error()]).toEqual([0, undefined]);
    } finally {
      client.close();
    }
    await hosts.a.kill(); // the node is gone; what ran on it is killed by the test
    await hosts.a.restart();
    await hosts.a.call("remove", "mem");
    await hosts.b.call("restoreSnapshot", "snap-second", spec, 2);
    expect(await cli("dbsize")).toBe("40002");
    expect(await cli("get", "late")).toBe("yes");
    expect(await cli("eval", digestOfAll, "0")).toBe(digest);
    const text = await cli("get", "k77");
    expect(text).toBe(createHash("sha1").update("77").digest("hex").repeat(100));
    await hosts.b.call("remove", "mem");
  });
});
