// Every named fault point of the engine, on both sides, and what a network and a memory can do beside it. Whatever happens in a move, in the end
// exactly one instance runs, its client's one connection has seen no wrong answer, and nothing is left behind on either host.
// A part of the cases by default; all of them, and each mode, with AETHER_CHAOS_ENGINE=all (npm run test:chaos:engine).
import { existsSync } from "node:fs";
import { join } from "node:path";
import { helperTls } from "@aether/engine";
import { run, sleep, until } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { native } from "../native-program.ts";
import {
  childrenOf,
  criuAt,
  type FaultRig,
  fill,
  helpersOf,
  isStopped,
  openFaultRig,
  parentOf,
  pointsOfTarget,
  textOf,
  tooLong,
  within,
} from "./fault-rig.ts";
import { missingForEngine } from "./requirements.ts";
import { type EngineHost, nativeWithoutTls } from "./topology.ts";

const missing = missingForEngine();
const hasTls = missing !== undefined || (await helperTls({ native })) !== undefined;
const noTls = hasTls ? undefined : "the native program was built without OpenSSL (libssl-dev)";
const isWhole = process.env.AETHER_CHAOS_ENGINE === "all";
const address = "10.219.1.1";

type Role = "source" | "target";
interface Fault {
  readonly role: Role;
  readonly point: string;
  readonly action: "kill" | "stop" | "error";
  /** The workload runs again by itself, before anybody brings its agent back. */
  readonly healsAlone?: true;
  /** Not among the cases that always run. */
  readonly isRare?: true;
}

const atFreeze = [
  "freeze.after_last_pass",
  "freeze.ready",
  "freeze.after_cut",
  "freeze.after_freeze",
  "freeze.after_dump",
  "transfer.half",
  "freeze.before_disarm",
];
const rareUnless = (isCommon: boolean) => (isCommon ? {} : { isRare: true as const });
const faults: readonly Fault[] = [
  ...["copy.half", ...atFreeze].map((point) => ({ role: "source" as const, point, action: "kill" as const, healsAlone: true as const })),
  { role: "source", point: "freeze.after_disarm", action: "kill" },
  ...["thaw.before", "release.before"].map((point) => ({ role: "source" as const, point, action: "kill" as const })),
  ...pointsOfTarget.map((point) => ({ role: "target" as const, point, action: "kill" as const })),
  ...atFreeze.map((point) => ({
    role: "source" as const,
    point,
    action: "stop" as const,
    healsAlone: true as const,
    ...rareUnless(point === "freeze.after_dump"),
  })),
  ...["copy.half", "freeze.after_disarm", "thaw.before", "release.before"].map((point) => ({
    role: "source" as const,
    point,
    action: "stop" as const,
    ...rareUnless(false),
  })),
  ...pointsOfTarget.map((point) => ({
    role: "target" as const,
    point,
    action: "stop" as const,
    ...rareUnless(point === "restore.before"),
  })),
  ...["copy.half", ...atFreeze, "freeze.after_disarm", "thaw.before", "release.before"].map((point) => ({
    role: "source" as const,
    point,
    action: "error" as const,
    ...rareUnless(point === "transfer.half"),
  })),
  ...pointsOfTarget.map((point) => ({
    role: "target" as const,
    point,
    action: "error" as const,
    ...rareUnless(point === "restore.ready"),
  })),
];

describe.skipIf(missing !== undefined)(`whatever breaks in a move${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let rig: FaultRig;
  beforeAll(async () => {
    rig = await openFaultRig("aex", 219);
  });
  afterAll(() => rig?.close());

  describe.each(isWhole ? ["stop-and-copy", "post-copy", "pre-copy"] : ["stop-and-copy"])("%s", (mode) => {
    it.each(faults.filter((one) => isWhole || !one.isRare))(
      "$action of the $role at $point",
      async ({ role, point, action, healsAlone }) => {
        const { source, target } = rig.at;
        const hit = rig.at[role];
        await hit.call("arm", point, { kind: action });
        // What only a rollback comes to needs a move that fails.
        if (point === "thaw.before" || point === "abort.half") await target.call("arm", "restore.before", { kind: "error" });
        const fail = async () => {
          await until("the fault", 20, 15_000, async () => (hit.isAlive() && !isStopped(hit) ? undefined : true));
          if (healsAlone) await rig.client.answers(3); // before anybody has brought the agent back
          await hit.kill(); // as a supervisor does with one that hangs
        };
        const failing = action === "stop" ? fail() : undefined;
        failing?.catch(() => undefined); // heard below
        const isCommitted = await rig.move(mode, action === "kill" && healsAlone ? fail : undefined);
        await failing;
        expect(isCommitted, "after the commit there is no way back").toBe(
          ["release.before", "resume.before_continue", "resume.after_continue"].includes(point),
        );
        // Held packets outlive the agent that held them.
        if (point === "resume.before_continue")
          expect(rig.resumed).toMatchObject({ holdMethod: "queue", packetsHeld: rig.resumed.packetsReplayed, packetsDropped: 0 });
        expect(source.isAlive() || target.isAlive()).toBe(true);
        await rig.isWell();
      },
    );

    it("a memory that is full, on either side", async () => {
      for (const role of ["source", "target"] as const) {
        const free = await fill(rig.at[role].memoryDir);
        expect(await rig.move(mode)).toBe(false);
        await free();
        await rig.isWell();
      }
    });

    it.each(isWhole ? (["target", "source"] as const) : (["target"] as const))("a cut link of the %s", async (role) => {
      const { target } = rig.at;
      const { cable } = rig.at[role];
      await target.call("arm", "restore.before", { kind: "delay", ms: 800 });
      const cut = async (how: string) => run("ip", ["link", "set", cable, how], { deadlineMs: 5000 });
      // The source's images are on their way, the target's word that it has them is not.
      await rig.at.source.call("arm", "transfer.half", { kind: "delay", ms: 400 });
      expect(
        await rig.move(mode, async () => {
          await until("the target to wait for images", 20, 5000, async () =>
            existsSync(join(target.memoryDir, rig.migrationId())) ? true : undefined,
          );
          await cut("down");
          await sleep(1500);
          await target.kill(); // a node that cannot be reached any more
          await cut("up");
        }),
      ).toBe(false);
      await rig.isWell();
    });
  });

  // In post-copy who serves the pages stands as well.
  it.each(["stop-and-copy", "post-copy"])(
    "what stands for a freeze by %s goes when it fails before the cut, and the target hears of it",
    async (mode) => {
      const { source } = rig.at;
      await source.call("arm", "freeze.ready", { kind: "error" });
      const began = performance.now();
      expect(await rig.move(mode)).toBe(false);
      expect(performance.now() - began).toBeLessThan(6000); // a restore that nobody tells waits for 9 s
      await rig.isWell();
    },
  );

  it("a packet hold that is killed before the freeze is replaced, and no packet is lost", async () => {
    const { source, target } = rig.at;
    await source.call("arm", "copy.half", { kind: "delay", ms: 1000 });
    const moving = rig.move("stop-and-copy");
    moving.catch(() => undefined); // heard below
    const hold = await until("a hold", 5, 10_000, async () => helpersOf(target, "hold")[0]);
    process.kill(hold, "SIGKILL");
    expect(await moving).toBe(true);
    expect(rig.resumed).toMatchObject({ holdMethod: "queue", packetsHeld: rig.resumed.packetsReplayed, packetsDropped: 0 });
    await rig.isWell();
  });

  // In a dump: killed-dump.test.ts.
  it.each([
    ["criu", "stop-and-copy"],
    ["criu", "pre-copy"],
    ["a task of criu's", "pre-copy"],
  ] as const)("%s, killed at work in the restore of a move by %s: the source soon runs on", async (who, mode) => {
    const kill = async () => {
      const pid = await criuAt(rig, "restore");
      const task = await until("criu to work", 1, 5000, async () => childrenOf(pid)[0]);
      process.kill(who === "criu" ? pid : task, "SIGKILL");
    };
    // It works for some twenty milliseconds: one that was quicker than us is another move.
    let [isCommitted, tookMs] = [true, 0];
    for (let tries = 0; isCommitted && tries < 5; tries++) {
      let killedAtMs = Number.NaN;
      const killing = () =>
        kill().then(
          () => {
            killedAtMs = performance.now();
          },
          () => undefined,
        );
      isCommitted = await rig.move(mode, killing);
      tookMs = performance.now() - killedAtMs;
    }
    expect(isCommitted).toBe(false);
    expect(tookMs).toBeLessThan(4000); // clients wait
    await rig.isWell();
  });

  // On the cable of the target what it is sent is slow, on that of the source what it is answered.
  it.each(isWhole ? (["source", "target"] as const) : (["target"] as const))("a slow link of the %s only takes longer", async (role) => {
    const { cable } = rig.at[role];
    await run("tc", ["qdisc", "add", "dev", cable, "root", "tbf", "rate", "40mbit", "burst", "32k", "latency", "50ms"], {
      deadlineMs: 5000,
    });
    try {
      expect(await rig.move("stop-and-copy")).toBe(true);
    } finally {
      await run("tc", ["qdisc", "del", "dev", cable, "root"], { deadlineMs: 5000 });
    }
    await rig.isWell();
  });

  it.each(isWhole ? (["target", "source"] as const) : (["target"] as const))(
    "a stream that is changed on its way to the %s is refused, and the source runs on",
    async (to) => {
      const { port } = rig.at.target.link;
      const rules = [
        "add table netdev aex",
        "add chain netdev aex in { type filter hook ingress device eth0 priority 0; }",
        // One byte of each packet that is longer than a bare acknowledgement, after the handshake's: TLS finds it.
        to === "target"
          ? `add rule netdev aex in tcp dport ${port} meta length > 1400 @th,8000,8 set 0x2a`
          : `add rule netdev aex in tcp sport ${port} meta length > 60 @th,320,8 set 0x2a`,
      ];
      const nft = (text: string) =>
        run("nsenter", [`--net=/run/netns/${rig.at[to].namespace}`, "nft", "-f", "-"], { deadlineMs: 5000, input: `${text}\n` });
      const side = rig.at[to];
      await rig.at.source.call("arm", "transfer.half", { kind: "delay", ms: 300 });
      try {
        expect(await rig.move("stop-and-copy", () => nft(rules.join("\n")).then(() => undefined))).toBe(false);
      } finally {
        await run("nsenter", [`--net=/run/netns/${side.namespace}`, "nft", "delete", "table", "netdev", "aex"], { deadlineMs: 5000 });
      }
      await rig.isWell();
    },
  );

  // Its memory is larger than what has arrived when it runs again: from here on it needs the source.
  describe.skipIf(noTls !== undefined)(`post-copy, while pages are still on the source${noTls ? ` (skipped: ${noTls})` : ""}`, () => {
    const lua = (script: string) => run("redis-cli", ["-h", address, "eval", script, "0"], { deadlineMs: 60_000 });
    const value = "string.rep(i .. '-', 20000)";
    const wrongValues = async () => {
      const script = `local n = 0 for i = 1000, 2999 do if redis.call('get', 'v' .. i) ~= ${value} then n = n + 1 end end return n`;
      return Number((await lua(script)).stdout);
    };
    const slowly = async (work: () => Promise<void>) => {
      const { cable } = rig.at.target;
      const rate = ["rate", "600mbit", "burst", "256k", "latency", "50ms"];
      await run("tc", ["qdisc", "add", "dev", cable, "root", "tbf", ...rate], { deadlineMs: 5000 });
      await work().finally(() => run("tc", ["qdisc", "del", "dev", cable, "root"], { deadlineMs: 5000 }));
    };

    beforeAll(async () => {
      await lua(`for i = 1000, 2999 do redis.call('set', 'v' .. i, ${value}) end return 1`); // 200 MB
    });

    // The first process holds what its child needs, and starts another child.
    const pairOf = (host: EngineHost, command: string) => {
      const pids = helpersOf(host, command);
      const carries = pids.find((pid) => pids.includes(parentOf(pid)));
      return { carries, watches: pids.find((pid) => pid !== carries) };
    };
    const fetching = (host: EngineHost) => pairOf(host, "pages-fetch");
    const killNow = (pid: number | undefined) => {
      if (pid === undefined) throw new Error("there is nobody to be killed");
      process.kill(pid, "SIGKILL");
    };
    const kills: Record<string, (hosts: FaultRig["at"]) => Promise<void> | void> = {
      "the target": ({ target }) => target.kill(),
      "the source": ({ source }) => source.kill(),
      "both agents": async ({ source, target }) => void (await Promise.all([source.kill(), target.kill()])),
      "who carries the pages": ({ target }) => killNow(fetching(target).carries),
      "who watches over that": ({ target }) => killNow(fetching(target).watches),
      "who serves the pages": ({ source }) => killNow(pairOf(source, "pages-serve").carries),
      "who watches over that, on the source": ({ source }) => killNow(pairOf(source, "pages-serve").watches),
      "who carries the pages, again and again": async ({ target }) => {
        for (let i = 0; i < 5; i++) {
          const { carries } = fetching(target);
          killNow(carries);
          const another = async () => ([undefined, carries].includes(fetching(target).carries) ? undefined : true);
          await until("another one to carry", 2, 5000, another);
          await sleep(i * 20); // it may know the source by then, or not
        }
      },
      // A connection lives for 30 s without an answer, and for 40 without a word (native/src/memory/relay.c).
      "their way, for 45 s": async ({ source, target }) => {
        const { carries } = fetching(target);
        const inside = (...argv: string[]) =>
          run("nsenter", [`--net=/run/netns/${target.namespace}`, "nft", ...argv], { deadlineMs: 5000 });
        const { port } = source.link;
        const rules = `chain in { type filter hook input priority 0; tcp sport ${port} drop; }; chain out { type filter hook output priority 0; tcp dport ${port} drop; };`;
        await inside(`add table inet aexcut { ${rules} }`);
        await sleep(45_000);
        await inside("delete table inet aexcut");
        await until("another one to carry", 50, 30_000, async () =>
          [undefined, carries].includes(fetching(target).carries) ? undefined : true,
        );
      },
    };
    const always = ["both agents", "who carries the pages, again and again"];
    it.each(Object.keys(kills).filter((who) => isWhole || always.includes(who)))("kill of %s", async (who) => {
      const { source, target } = rig.at;
      await slowly(async () => {
        const isCommitted = await rig.move("post-copy", undefined, async () => {
          await kills[who]?.(rig.at);
          await rig.client.answers(3); // before anybody has brought an agent back
          for (const host of [source, target]) if (!host.isAlive()) await host.restart();
          const left = () => [helpersOf(target, "pages-fetch").length > 0, helpersOf(source, "pages-serve").length > 0];
          expect(left(), "pages are missing").toEqual([true, true]);
        });
        expect(isCommitted).toBe(true);
      });
      expect(await wrongValues()).toBe(0);
      await rig.isWell();
    });

    // By a helper that is said to have no TLS: the target's agent carries them then.
    const byAgents = "the agent that carries them itself";
    // The last ones: their client's connection does not outlive them.
    const losses: Record<string, (hosts: FaultRig["at"]) => Promise<void> | void> = {
      "all who serve them": ({ source }) => {
        const { carries, watches } = pairOf(source, "pages-serve");
        for (const pid of [watches, carries]) killNow(pid); // in this order: the other one would start another
      },
      "criu on the target": ({ target }) => killNow(childrenOf(fetching(target).carries)[0]),
      "who carries them, without its agent": async ({ target }) => {
        await target.kill();
        killNow(fetching(target).carries);
        await target.restart();
      },
      [byAgents]: async ({ target }) => {
        expect(textOf(`/proc/${fetching(target).carries}/cmdline`)).not.toContain("--handed");
        await target.kill();
        await target.restart();
      },
    };
    it.each(Object.keys(losses).filter((who) => isWhole || who === "criu on the target"))(
      "pages that are lost with %s are said, also after a restart, and nobody finds zeros in their place",
      async (who) => {
        const { source, target } = rig.at;
        const ref = rig.nextRef();
        if (who === byAgents) {
          await target.kill();
          await target.restart({ TEST_NATIVE: await nativeWithoutTls(rig.hosts.dir) });
        }
        await slowly(async () => {
          const lost = rig.move("post-copy", undefined, async () => {
            await losses[who]?.(rig.at);
            await expect(target.call("drainPages", ref)).rejects.toMatchObject({ code: "TRANSFER_FAILED" });
            await target.kill();
            await target.restart();
          });
          await expect(lost).rejects.toThrow("pages are missing");
        });
        expect(await within(1500, wrongValues()), "who needs a missing page waits").toMatchObject({ reason: tooLong });
        // A person decides for the copy on the source.
        await target.call("remove", "hit");
        await source.call("thaw", ref);
        expect(await wrongValues()).toBe(0);
        await until("nothing to be fetched", 50, 4000, async () => (helpersOf(target, "pages-fetch").length === 0 ? true : undefined));
      },
    );
  });
});
