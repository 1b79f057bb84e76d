// criu, killed at any moment of a dump: the source runs on, with the registers, the signals and the connections that it had. With our patches alone
// (native/criu/0008, 0009): a stock criu takes the task that it works on with it.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { criuAbilities } from "@aether/engine";
import { until } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { criuAt, type FaultRig, openFaultRig, textOf } from "./fault-rig.ts";
import { missingForEngine } from "./requirements.ts";

const criu = "/opt/aether/criu/bin/criu";
const missing =
  missingForEngine() ?? ((await criuAbilities(criu)).criuKeepsOrphan ? undefined : `${criu} is not ours (npm run prepare:machine)`);
const isWhole = process.env.AETHER_CHAOS_ENGINE === "all";
const busyThreads = readFileSync(fileURLToPath(new URL("busy-threads.py", import.meta.url)), "utf8");

describe.skipIf(missing !== undefined).each([
  { what: "redis", prefix: "akr", net: 223, options: {}, modes: ["stop-and-copy", "pre-copy"] },
  {
    what: "threads and a child that calculate",
    prefix: "akt",
    net: 224,
    options: { argv: ["python3", "-c", busyThreads] },
    modes: isWhole ? ["stop-and-copy", "pre-copy"] : ["stop-and-copy"],
  },
])(`a criu that is killed in the dump of $what${missing ? ` (skipped: ${missing})` : ""}`, ({ prefix, net, options, modes }) => {
  let rig: FaultRig;
  beforeAll(async () => {
    rig = await openFaultRig(prefix, net, options);
  });
  afterAll(() => rig?.close());

  /** Kills it so long after its first image was there. Whether it was in time. */
  async function killAfter(ms: number): Promise<boolean> {
    const pid = await criuAt(rig, "dump");
    const words = textOf(`/proc/${pid}/cmdline`).split("\0");
    const images = words[words.indexOf("-D") + 1] ?? "";
    await until("criu to work", 1, 5000, async () => readdirSync(images).some((name) => name.endsWith(".img")) || undefined);
    const endMs = performance.now() + ms;
    while (performance.now() < endMs); // a timer is not exact enough
    process.kill(pid, "SIGKILL");
    return true;
  }

  it.each(modes)(
    "the source of a move by %s goes on",
    async (mode) => {
      const moves = isWhole ? 60 : 7;
      let killed = 0;
      for (let i = 0; i < moves; i++) {
        const afterMs = ((i * 0.618) % 1) * 18; // all over a dump, of some 20 ms
        let killedAtMs = Number.NaN;
        const isCommitted = await rig.move(mode, async () => {
          if (await killAfter(afterMs).catch(() => false)) killedAtMs = performance.now();
        });
        if (!isCommitted) {
          killed++;
          expect(performance.now() - killedAtMs, `clients wait, ${afterMs} ms into the dump`).toBeLessThan(4000);
        }
        await rig.isWell();
      }
      expect(killed).toBeGreaterThan(moves / 3);
    },
    300_000,
  );
});
