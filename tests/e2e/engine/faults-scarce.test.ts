// What runs out, slows down or changes on its way in the middle of a move: disks and memory at each fault point of the engine, links while memory travels, and the room for memory
// that the restored tasks inherit while criu stands with it. Nothing of it may cost the workload, its clients' connections or a page.
// Only with AETHER_CHAOS_ENGINE=all (npm run test:chaos:engine).
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, sleep, until } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FaultRig, fill, isStopped, openFaultRig, pointsOfTarget, textOf } from "./fault-rig.ts";
import { missingForEngine } from "./requirements.ts";
import type { EngineHost } from "./topology.ts";

const missing = process.env.AETHER_CHAOS_ENGINE === "all" ? missingForEngine() : "a part of npm run test:chaos:engine";
const modes = ["stop-and-copy", "post-copy", "pre-copy"];
const points = {
  source: [
    "copy.half",
    "freeze.after_last_pass",
    "freeze.ready",
    "freeze.after_cut",
    "freeze.after_freeze",
    "freeze.after_dump",
    "transfer.half",
    "freeze.before_disarm",
    "freeze.after_disarm",
    "release.before",
  ],
  target: pointsOfTarget,
} as const;
const committed = ["release.before", "resume.before_continue", "resume.after_continue"];

describe.skipIf(missing !== undefined)(`what runs out in a move${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let rig: FaultRig;
  const lua = (script: string) => run("redis-cli", ["-h", rig.address, "eval", script, "0"], { deadlineMs: 60_000 });
  const value = "string.rep(i .. '-', 20000)";
  const wrongValues = async () => {
    const script = `local n = 0 for i = 1000, 1999 do if redis.call('get', 'v' .. i) ~= ${value} then n = n + 1 end end return n`;
    return Number((await lua(script)).stdout);
  };
  const qdisc = (host: EngineHost, ...words: string[]) => run("tc", ["qdisc", ...words], { deadlineMs: 5000 }).then(() => host);
  const slow = (host: EngineHost, rate: string) =>
    qdisc(host, "add", "dev", host.cable, "root", "tbf", "rate", rate, "burst", "256k", "latency", "50ms");
  const fast = (host: EngineHost) => qdisc(host, "del", "dev", host.cable, "root");
  const cut = (host: EngineHost, how: "up" | "down") => run("ip", ["link", "set", host.cable, how], { deadlineMs: 5000 });
  const inside = (host: EngineHost, ...argv: string[]) =>
    run("nsenter", [`--net=/run/netns/${host.namespace}`, ...argv], { deadlineMs: 5000 });
  /** One byte of each full packet that comes to this host on this port, or from it. */
  async function change(host: EngineHost, side: "dport" | "sport", port: number): Promise<() => Promise<unknown>> {
    await inside(host, "nft", "add", "table", "netdev", "aey");
    await inside(host, "nft", "add chain netdev aey in { type filter hook ingress device eth0 priority 0; }");
    await inside(host, "nft", `add rule netdev aey in tcp ${side} ${port} meta length > 1400 @th,8000,8 set 0x2a`);
    return () => inside(host, "nft", "delete", "table", "netdev", "aey");
  }

  beforeAll(async () => {
    rig = await openFaultRig("aey", 213, { hasOwnDisk: true });
  });
  afterAll(() => rig?.close());

  describe.each(modes)("%s", (mode) => {
    const cases = (["source", "target"] as const).flatMap((role) => points[role].map((point) => ({ role, point })));
    it.each(cases)("no room on the $role, in memory and on disk, from $point on", async ({ role, point }) => {
      const { source } = rig.at;
      const hit = rig.at[role];
      const disk = join(rig.hosts.dir, hit.id);
      await hit.call("arm", point, { kind: "stop" });
      if (point === "abort.half") await hit.call("arm", "restore.before", { kind: "error" });
      let frees: (() => Promise<void>)[] = [];
      const free = async () => {
        for (const one of frees.splice(0)) await one();
      };
      rig.onTrouble(async () => {
        // A rollback must not wait for room: the workload runs already.
        if (!committed.includes(point)) await rig.client.answers(3);
        await free();
      });
      const filling = (async () => {
        await until("the point", 5, 15_000, async () => (isStopped(hit) ? true : undefined));
        frees = [await fill(hit.memoryDir), await fill(disk)];
        process.kill(hit.pid() ?? 0, "SIGCONT");
      })();
      filling.catch(() => undefined); // heard below
      const isCommitted = await rig.move(mode);
      await filling;
      if (!isCommitted) {
        expect(rig.at.source).toBe(source);
        await rig.client.answers(3);
      }
      await free();
      await rig.isWell();
    });
  });

  describe("with memory on its way", () => {
    beforeAll(async () => {
      await lua(`for i = 1000, 1999 do redis.call('set', 'v' .. i, ${value}) end return 1`); // 100 MB
    });
    const isWhole = async () => {
      expect(await wrongValues()).toBe(0);
      await rig.isWell();
    };
    /** What it looks like beside a move. */
    async function beside(work: Promise<unknown>, moving: () => Promise<boolean>): Promise<boolean> {
      work.catch(() => undefined); // heard below
      const isCommitted = await moving();
      await work;
      return isCommitted;
    }

    it.each(["pre-copy", "post-copy"].flatMap((mode) => (["source", "target"] as const).map((role) => ({ mode, role }))))(
      "$mode over a slow link of the $role only takes longer",
      async ({ mode, role }) => {
        const host = await slow(rig.at[role], role === "target" ? "300mbit" : "10mbit");
        try {
          expect(await rig.move(mode)).toBe(true);
        } finally {
          await fast(host);
        }
        await isWhole();
      },
    );

    const copying = (host: EngineHost) =>
      until("memory to be copied", 2, 15_000, async () => (helperIn(host, "memory-source") ? true : undefined));

    it.each(["source", "target"] as const)(
      "a link of the %s that is cut for 2 s while memory is copied ahead only takes longer",
      async (role) => {
        const { source } = rig.at;
        const host = await slow(rig.at.target, "300mbit");
        try {
          const cutting = async () => {
            await copying(source);
            await sleep(500);
            await cut(rig.at[role], "down");
            await sleep(2000);
            await cut(rig.at[role], "up");
          };
          expect(await beside(cutting(), () => rig.move("pre-copy"))).toBe(true);
        } finally {
          await fast(host);
        }
        await isWhole();
      },
    );

    it("a stream that is changed while memory is copied ahead: nothing of it is believed, and the source runs on", async () => {
      const { source, target } = rig.at;
      let end = async (): Promise<unknown> => undefined;
      const changing = async () => {
        await copying(source);
        end = await change(target, "dport", target.link.port);
      };
      try {
        expect(await beside(changing(), () => rig.move("pre-copy"))).toBe(false);
      } finally {
        await end();
      }
      await isWhole();
    });

    it("a stream that is changed for 2 s while pages are still on the source: they come after", async () => {
      const { source, target } = rig.at;
      const host = await slow(target, "300mbit");
      try {
        const isCommitted = await rig.move("post-copy", undefined, async () => {
          const end = await change(target, "sport", source.link.port);
          await sleep(2000);
          await end();
        });
        expect(isCommitted).toBe(true);
      } finally {
        await fast(host);
      }
      await isWhole();
    });

    // criu stands on the target from the first page on, and what is copied ahead is written into it.
    describe("that the restored tasks inherit", () => {
      const standing = () => until("criu to stand", 1, 15_000, async () => criuIn(rig.at.target)[0]);
      /** All is copied, and the source makes ready for the cut. */
      const near = () => until("the freeze to be near", 1, 15_000, async () => criuIn(rig.at.source, "dump")[0]);
      const limits = (host: EngineHost) => {
        const group = `aether/ae-aey${host.id}-hit`;
        const version1 = `/sys/fs/cgroup/memory/${group}`;
        return existsSync(version1)
          ? { used: join(version1, "memory.usage_in_bytes"), limit: join(version1, "memory.limit_in_bytes"), none: "-1" }
          : { used: `/sys/fs/cgroup/${group}/memory.current`, limit: `/sys/fs/cgroup/${group}/memory.max`, none: "max" };
      };
      /** As low as the kernel lets it be: the next page is one too many. */
      const close = (host: EngineHost) =>
        until("the limit to be reached", 1, 2000, async () => {
          const { used, limit } = limits(host);
          try {
            writeFileSync(limit, String(Number(readFileSync(used, "utf8")) + (64 << 10)));
            return true;
          } catch {
            return undefined; // it grows just now
          }
        });

      // The moments lie around the 100 to 300 ms in which 100 MB come and are written into criu.
      const moments = [0, 15, 30, 60, 120];
      it.each(moments)("its limit is reached %i ms after criu stands: it moves otherwise or stays, and is whole", async (ms) => {
        const { target } = rig.at;
        const filling = (async () => {
          await standing();
          await sleep(ms);
          await close(target);
        })();
        await beside(filling, () => rig.move("pre-copy"));
        const here = limits(target);
        if (existsSync(here.limit)) writeFileSync(here.limit, here.none);
        await isWhole();
      });

      it.each(moments)("there is no room in the target's memory %i ms after criu stands", async (ms) => {
        let free = async () => {};
        const filling = (async () => {
          await standing();
          await sleep(ms);
          free = await fill(rig.at.target.memoryDir);
        })();
        rig.onTrouble(() => free());
        await beside(filling, () => rig.move("pre-copy"));
        await free();
        await isWhole();
      });

      it.each([["target", "20mbit"] as const, ["source", "2mbit"] as const])(
        "the link of the %s becomes slow right before the freeze",
        async (role, rate) => {
          const host = rig.at[role];
          const slowing = near().then(() => slow(host, rate));
          try {
            expect(await beside(slowing, () => rig.move("pre-copy"))).toBe(true);
          } finally {
            await fast(host);
          }
          await isWhole();
        },
      );

      it.each([
        ["criu", "SIGKILL"],
        ["criu", "SIGSTOP"],
        ["its keeper", "SIGKILL"],
        ["its keeper", "SIGSTOP"],
        ["its tracker", "SIGKILL"],
      ] as const)("%s gets a %s when criu stands", async (who, signal) => {
        const { source, target } = rig.at;
        const hitting = (async () => {
          const criu = await standing();
          const pid = who === "criu" ? criu : who === "its keeper" ? helperIn(target, "memory-target") : helperIn(source, "memory-source");
          expect(pid).toBeGreaterThan(0);
          process.kill(pid ?? 0, signal);
        })();
        await beside(hitting, () => rig.move("pre-copy"));
        await isWhole();
      });

      it("its tracker hangs right before the freeze", async () => {
        const { source } = rig.at;
        const hitting = near().then(() => process.kill(helperIn(source, "memory-source") ?? 0, "SIGSTOP"));
        await beside(hitting, () => rig.move("pre-copy"));
        await isWhole();
      });
    });
  });
});

/** A process of this host, by two words of its command line. */
function processesOf(host: EngineHost, isIt: (words: string[]) => boolean): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const words = textOf(`/proc/${pid}/cmdline`).split("\0");
      return isIt(words) && words.some((word) => word.includes(`aey${host.id}`));
    })
    .map(Number);
}
const helperIn = (host: EngineHost, command: string): number | undefined => processesOf(host, (words) => words[1] === command)[0];
const criuIn = (host: EngineHost, step = "restore"): number[] =>
  processesOf(host, (words) => words[0]?.endsWith("/criu") === true && words.includes(step));
