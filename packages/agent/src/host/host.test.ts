import { parseCpuFeatures } from "@aether/engine";
import { createManualClock } from "@aether/kit";
import { describe, expect, it } from "vitest";
import { parseEffectiveCapabilities } from "../doctor/kernel-checks.ts";
import { lowestCriuFor } from "../doctor/tool-checks.ts";
import { capabilitiesOf, type Probes } from "./capabilities.ts";
import { isAtLeast } from "./dirty-tracking.ts";
import { createUsageMeter, parseCpuTimes, parseMemory } from "./usage.ts";

describe("usage of the machine", () => {
  it("is busy time over the span between two measurements, and kept for a while", async () => {
    const clock = createManualClock();
    let stat = "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 1 1 1\nintr 5\n";
    const read = async (path: string) =>
      path === "/proc/stat" ? stat : "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    400 kB\n";
    const measure = createUsageMeter({ read, clock, keepMs: 1_000 });
    expect(await measure()).toMatchObject({ cpuFraction: 0, memoryUsedBytes: 600 * 1024, memoryAvailableBytes: 400 * 1024 });
    stat = "cpu  130 0 120 730 120 0 0 0 50 0\n";
    expect((await measure()).cpuFraction).toBe(0);
    clock.advance(1_000);
    expect((await measure()).cpuFraction).toBe(0.5);
  });

  it("of files that say nothing is nothing", () => {
    expect(parseCpuTimes("")).toEqual({ busy: 0, total: 0 });
    expect(parseMemory("garbage")).toEqual({ totalBytes: 0, availableBytes: 0 });
  });
});

describe("what the machine is", () => {
  it("has the CPU features that all of its CPUs have", () => {
    expect(parseCpuFeatures("processor: 0\nflags\t\t: sse avx2 fpu\n\nprocessor: 1\nflags\t\t: fpu sse\n")).toEqual(["fpu", "sse"]);
    expect(parseCpuFeatures("Features\t: fp asimd\n")).toEqual(["asimd", "fp"]);
    expect(parseCpuFeatures("")).toEqual([]);
  });

  it("compares versions by number", () => {
    expect([
      isAtLeast("6.18.44-fc", 6, 7),
      isAtLeast("6.7.0", 6, 7),
      isAtLeast("5.15.0", 6, 7),
      isAtLeast("10.0", 6, 7),
      isAtLeast("", 1, 0),
    ]).toEqual([...[true, true, false, true, false]]);
    expect(lowestCriuFor("6.18.1")).toMatchObject({ major: 4, minor: 2 });
    expect(lowestCriuFor("6.1.0")).toMatchObject({ major: 3, minor: 17 });
  });

  it("reads effective capabilities", () => {
    expect(parseEffectiveCapabilities("Name:\tx\nCapEff:\t0000000000201000\n")).toBe((1n << 21n) | (1n << 12n));
    expect(parseEffectiveCapabilities("")).toBe(0n);
  });
});

describe("capabilities", () => {
  const machine = {
    hostname: "h",
    kernelVersion: "6.18.1",
    arch: "x86_64",
    cpuFeatures: ["sse"],
    xsaveComponents: ["x87", "sse"],
    cpuModel: "a CPU",
    cgroupVersion: 2,
    pidLimit: 32_768,
    timeNamespace: true,
    cpuCount: 2,
    memoryBytes: 1,
    bootId: "b",
  };
  const versions = { criu: "4.2.1", runc: "1.1.5", ip: "6.1", nft: "1.0", rsync: "3.2", native: "0.1", bpf: "0.1" };
  const works = { queue: undefined, xdp_icmp: undefined, tc_drop: undefined, nft_drop: undefined };
  const kernel = { holds: works, watch: undefined };
  const probes: Probes = { versions, hasUserfaultfd: true, helperTls: "3.0.17", dirtyTracking: "wp_async", canary: undefined, kernel };
  const canary = { isAvailable: true, criuVersion: "4.2.1", dumpMs: 30, restoreMs: 10, lazyPages: true, noTracking: "", reason: "" };

  it("promise nothing before the canary has run, and what it did afterwards", () => {
    expect(capabilitiesOf(machine, probes)).toMatchObject({
      supportsSnapshot: false,
      criu: { available: false, reason: "the canary has not run yet" },
      missing: [],
    });
    expect(capabilitiesOf(machine, { ...probes, canary })).toMatchObject({
      supportsSnapshot: true,
      lazyPages: true,
      criu: { available: true, reason: "" },
      packetHold: "queue",
    });
  });

  it("name what is missing, why it matters and how to mend it", () => {
    const { rsync: _, ...without } = versions;
    const failed = { ...canary, isAvailable: false, lazyPages: false, reason: "vdso: unexpected bounds" };
    const { missing, packetHold } = capabilitiesOf(machine, {
      ...probes,
      versions: without,
      helperTls: undefined,
      kernel: { holds: { ...works, queue: "no tun", xdp_icmp: "no" }, watch: "no BTF" },
      canary: failed,
    });
    expect(missing?.map(({ what }) => what)).toEqual([
      "rsync",
      "checkpoint and restore",
      "TLS in aether-native",
      "packet queue",
      "programs in the kernel",
    ]);
    expect(missing?.every(({ why, mend }) => why !== "" && mend !== "")).toBe(true);
    expect(missing?.[1]?.why).toBe("vdso: unexpected bounds");
    expect(packetHold).toBe("tc_drop");
    expect(capabilitiesOf(machine, { ...probes, kernel: undefined }).packetHold).toBe("none");
    expect(capabilitiesOf(machine, probes, ["nft_drop", "queue"]).packetHold).toBe("nft_drop");
  });
});
