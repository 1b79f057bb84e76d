import { expect, it } from "vitest";
import { createRates, parseInterface, parsePressure, parseSnmp } from "./counters.ts";
import { createNodeMeter } from "./node-meter.ts";
import { createWorkloadMeter } from "./workload-meter.ts";

const netDev = (received: number, sent: number) =>
  `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: ${received}       1    0    0    0     0          0         0 ${sent}       1    0    0    0     0       0          0
`;
const psi = (total: number) => `some avg10=0.00 avg60=0.00 avg300=0.00 total=${total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n`;
const snmp = (retransmits: number) => `Ip: A B\nIp: 1 2\nTcp: RtoMin RetransSegs OutRsts\nTcp: 200 ${retransmits} 4\n`;

it("parses the kernel's counters, and says undefined for what is not there", () => {
  expect([parsePressure(psi(7)), parsePressure(undefined), parsePressure("garbage")]).toEqual([7, undefined, undefined]);
  expect([parseInterface(netDev(5, 6), "eth0"), parseInterface(netDev(5, 6), "eth1")]).toEqual([{ received: 5, sent: 6 }, undefined]);
  expect([parseSnmp(snmp(9), "Tcp", "OutRsts"), parseSnmp(snmp(9), "Tcp", "None"), parseSnmp("", "Tcp", "OutRsts")]).toEqual([
    4,
    undefined,
    undefined,
  ]);
});

it("gives no rate for a first look or a counter that went back", () => {
  const rate = createRates();
  expect([
    rate("x", 10, 0),
    rate("x", 30, 2000),
    rate("x", 5, 3000),
    rate("x", 15, 4000),
    rate("x", undefined, 5000),
    rate("x", 20, 6000),
  ]).toEqual([undefined, 10, undefined, 10, undefined, undefined]);
});

it("measures a workload on either version of cgroups, and nothing that the kernel does not say", () => {
  let now = 0;
  let files: Record<string, string> = {
    "/v2/cpu.stat": "usage_usec 1000000\nuser_usec 1\n",
    "/v2/cpu.pressure": psi(0),
    "/memory/memory.stat": "cache 9\ntotal_rss 4096\ntotal_shmem 100\n",
    "/proc/7/net/dev": netDev(0, 0),
    "/proc/7/net/snmp": snmp(1),
  };
  const measure = createWorkloadMeter({ read: (path) => files[path], monotonicMs: () => now });
  expect(measure({ pid: 7, cgroupDirs: ["/v2", "/memory"] }).sample).toEqual({ memoryBytes: 4196n });
  now = 2000;
  files = {
    ...files,
    "/v2/cpu.stat": "usage_usec 4000000\nuser_usec 1\n",
    "/v2/cpu.pressure": psi(500_000),
    "/proc/7/net/dev": netDev(2000, 4000),
    "/proc/7/net/snmp": snmp(5),
  };
  expect(measure({ pid: 7, cgroupDirs: ["/v2", "/memory"] }).sample).toEqual({
    cpuFraction: 1.5,
    memoryBytes: 4196n,
    cpuPressure: 0.25,
    receivedBytesPerSecond: 1000,
    sentBytesPerSecond: 2000,
    retransmitsPerSecond: 2,
  });
  const moved = measure({ pid: 8, cgroupDirs: ["/v1"] });
  expect(moved).toEqual({ sample: {}, faultsPerSecond: undefined });
});

it("measures the machine and itself", async () => {
  let now = 0;
  let cpuUs = 0;
  const usage = async () => ({ cpuFraction: 0.5, memoryUsedBytes: 1, memoryAvailableBytes: 2, agentResidentBytes: 3 });
  const files: Record<string, string> = { "/proc/pressure/cpu": psi(0) };
  const read = (path: string) => files[path];
  const measure = createNodeMeter({ hostInterface: "eth0", usage, read, monotonicMs: () => now, ownCpuUs: () => cpuUs });
  expect(await measure()).toEqual({ memoryUsedBytes: 1n, memoryAvailableBytes: 2n, agentResidentBytes: 3n });
  now = 1000;
  cpuUs = 5000;
  files["/proc/pressure/cpu"] = psi(100_000);
  expect(await measure()).toMatchObject({ cpuFraction: 0.5, cpuPressure: 0.1, agentCpuFraction: 0.005 });
});
