import { targetMisfits } from "@aether/contract";
import { describe, expect, it } from "vitest";
import { mappedCode, neededComponents, neededFeatures, xsaveComponents } from "./cpu.ts";
import { hasUsedAvx512 } from "./needs.ts";
import { parseUnixPairs } from "./sockets.ts";

const flags = "fpu sse sse2 ht fxsr xsave avx avx2 bmi2 erms fsrm smep pcid avx512f avx512vl vmx ospke amx_tile".split(" ");
const glibc = `7f01-7f02 r--p 0 08:01 1 /usr/lib/x86_64-linux-gnu/libc.so.6
7f02-7f03 r-xp 0 08:01 1 /usr/lib/x86_64-linux-gnu/libc.so.6
7f04-7f05 r-xp 0 08:01 2 /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
5501-5502 r-xp 0 08:01 3 /usr/bin/redis-server
7fff-8000 r-xp 0 00:00 0 [vdso]`;
const musl = `7f02-7f03 r-xp 0 08:01 1 /lib/ld-musl-x86_64.so.1
5501-5502 r-xp 0 08:01 3 /usr/bin/small`;

describe("the features that a workload needs", () => {
  it("are those that its libraries choose code by: no hints, nothing of the kernel's, AVX-512 only where it was used", () => {
    const code = [mappedCode(glibc)];
    expect(neededFeatures(flags, code, false)).toEqual(["amx_tile", "avx", "avx2", "bmi2"]);
    expect(neededFeatures(flags, code, true)).toEqual(["amx_tile", "avx", "avx2", "avx512f", "avx512vl", "bmi2"]);
  });
  it("are none where nothing chooses, and all where code is made at run time or cannot be seen", () => {
    expect(neededFeatures(flags, [mappedCode(musl)], false)).toEqual([]);
    expect(neededFeatures(flags, [mappedCode(`${musl}\n7f05-7f06 rwxp 0 00:00 0 `)], false)).toContain("avx2");
    expect(neededFeatures(flags, [mappedCode("5501-5502 r-xp 0 08:01 3 /app/go-server")], false)).toContain("avx2");
  });
  it("come with the state that its threads may hold", () => {
    expect(xsaveComponents(flags)).toEqual(["x87", "sse", "avx", "avx512", "pkru", "amx"]);
    expect(neededComponents(flags, ["avx"], false)).toEqual(["x87", "sse", "avx"]);
    expect(neededComponents(flags, ["avx"], true)).toEqual(["x87", "sse", "avx", "avx512"]);
  });
  it("take the kernel's word on AVX-512, and assume it where the kernel has none", () => {
    expect(hasUsedAvx512("AVX512_elapsed_ms:\t-1\n")).toBe(false);
    expect(hasUsedAvx512("AVX512_elapsed_ms:\t80\n")).toBe(true);
    expect(hasUsedAvx512(undefined)).toBe(true);
  });
});

describe("a target", () => {
  const needs = {
    arch: "x86_64",
    cpuFeatures: ["avx2", "avx512f"],
    xsaveComponents: ["avx512"],
    kernelVersion: "6.8.1",
    criuVersion: "4.2.1",
    threadCount: 9,
    cgroupVersion: 2,
    timeNamespace: true,
    memoryBytes: 500n << 20n,
    memoryLimitBytes: 1n << 30n,
    pidsLimit: 4096,
  };
  const node = {
    arch: "x86_64",
    cpuFeatures: ["avx2", "avx512f"],
    xsaveComponents: ["avx512"],
    kernelVersion: "6.8.0",
    criuVersion: "4.2",
    pidLimit: 32768n,
  };
  const codes = (more: object) => {
    const { blockers, warnings } = targetMisfits(needs, { ...node, ...more });
    return [...blockers, ...warnings].map(({ code }) => code);
  };
  it("that has all of it is taken, and what is not known is not held against it", () => {
    expect(codes({})).toEqual([]);
    expect(targetMisfits(needs, {})).toEqual({ blockers: [], warnings: [] });
  });
  it.each([
    ["CPU_FEATURES_MISSING", { cpuFeatures: ["avx2"] }],
    ["CPU_STATE_MISSING", { xsaveComponents: ["avx"] }],
    ["ARCH_DIFFERS", { arch: "aarch64" }],
    ["CRIU_OLDER", { criuVersion: "4.1.1" }],
    ["KERNEL_OLDER", { kernelVersion: "6.1.99" }],
    ["PID_LIMIT", { pidLimit: 10n }],
    ["PIDS_LIMIT", { pidLimit: 4095n }],
    ["MEMORY_SHORT", { memoryAvailableBytes: 500n << 20n }],
    ["MEMORY_LIMIT", { memoryAvailableBytes: 700n << 20n }],
    ["CGROUP_VERSION", { cgroupVersion: 1 }],
    ["TIME_NAMESPACE_MISSING", { timeNamespace: false }],
  ])("is refused or warned of by name: %s", (code, more) => expect(codes(more)).toEqual([code]));
  it.each([
    ["3.17.1", "6.14.2", ["CRIU_KERNEL_PAIR"]],
    ["4.1.1", "6.16.0", ["CRIU_KERNEL_PAIR"]],
    ["4.1.1", "6.15.9", []],
    ["4.2.1", "6.18.0", []],
  ])("with CRIU %s on kernel %s is warned of where that pair was seen to fail", (criuVersion, kernelVersion, expected) =>
    expect(targetMisfits({}, { criuVersion, kernelVersion }).warnings.map(({ code }) => code)).toEqual(expected),
  );
  it("that lacks features is told how the workload could do without them", () =>
    expect(targetMisfits(needs, { ...node, cpuFeatures: ["avx2"] }).blockers[0]?.mend).toContain(
      "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F",
    ));
});

it("the peers of unix sockets are read from ss", () =>
  expect(
    parseUnixPairs(`u_str ESTAB 0 0 * 4001 * 4002
u_str ESTAB 0 0 /run/db.sock 4003 * 4004
u_dgr UNCONN 0 0 * 4005 * 0
u_str ESTAB 0 0 * 4006 * 0`),
  ).toEqual([
    { inode: 4001, peer: 4002, path: "*" },
    { inode: 4003, peer: 4004, path: "/run/db.sock" },
  ]));
