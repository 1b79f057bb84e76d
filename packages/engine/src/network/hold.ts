// Packets that arrive for a workload while nobody can answer. A ladder of methods, the best first; each was measured at a client (one
// connection, ping-pong): a blackout of 1 s is felt as 1.0 s with `queue`, about 1.03 s with `xdp_icmp`, and 1.2 to 1.6 s with the drops, because
// the client's timer backs off. Every rule has a deadline in the kernel or in a process of its own: an agent that dies never keeps a service dark.
import { Fault, fault } from "@aether/contract";
import { run, until } from "@aether/kit";
import type { EngineOptions } from "../engine.ts";
import { shortName } from "../host.ts";
import type { KernelHelper } from "../kernel/helper.ts";
import { signalPid } from "../runtime/cgroup.ts";
import { readProc } from "../runtime/process.ts";
import { openQueue } from "./hold-queue.ts";

/** What holding needs of a host. */
export interface HoldHost {
  readonly options: Pick<EngineOptions, "hostId" | "tools" | "hostInterface" | "packetHold" | "log">;
  readonly helper: KernelHelper;
  /** Where whoever comes after us speaks to a hold that we leave; without it nobody can. */
  readonly memoryDir?: string;
}

export const holdMethods = ["queue", "xdp_icmp", "tc_drop", "nft_drop"] as const;
/** queue: kept and replayed in order. xdp_icmp: dropped, and the sender told to try again soon (RFC 6069). The others: dropped. */
export type HoldMethod = (typeof holdMethods)[number];

export interface Held {
  readonly held: number;
  readonly replayed: number;
  readonly dropped: number;
}

export interface Hold {
  readonly method: HoldMethod;
  /** What `ip route replace` is given, so that packets which come by another way than the held one do not find an answer either. */
  readonly route: string;
  /** Of the process that keeps the packets; undefined where the kernel alone holds. */
  readonly pid: number | undefined;
  /** From now on packets are held: not before the freeze is near, since a neighbour may take this host for the workload's while that still runs elsewhere. */
  begin(): Promise<void>;
  /** Call after the route has been changed to the workload: kept packets are sent on, in order. */
  release(): Promise<Held>;
  /** Its deadline begins anew: the freeze begins only now. Where that fails the former deadline stands; never throws. */
  extend(): void;
  /** Ends it; what it keeps is dropped. */
  quit(): void;
}

const holdDeadlineMs = 120_000;

/** The first method of the ladder that works now, or undefined: then only the route drops. Never throws but for the signal. */
export async function openHold(host: HoldHost, workload: string, address: string, signal: AbortSignal): Promise<Hold | undefined> {
  for (const method of host.options.packetHold ?? holdMethods) {
    try {
      return await makers[method](host, workload, address, signal);
    } catch (caught) {
      signal.throwIfAborted();
      host.options.log.warn({ err: Fault.from(caught), method, workload }, "hold.method_failed");
    }
  }
  return undefined;
}

type Maker = (host: HoldHost, workload: string, address: string, signal: AbortSignal) => Promise<Hold>;

const makers: Readonly<Record<HoldMethod, Maker>> = {
  queue: (host, workload, address, signal) => openQueue(host, workload, address, holdDeadlineMs, signal),
  xdp_icmp: (host, _workload, address) => openKernelRule(host, address, "xdp_icmp"),
  tc_drop: (host, _workload, address) => openKernelRule(host, address, "tc_drop"),
  nft_drop: (host, workload, address) => openNftRule(host, workload, address),
};

async function openKernelRule(host: HoldHost, address: string, method: "xdp_icmp" | "tc_drop"): Promise<Hold> {
  const hold = async () => void (await host.helper.ask(["hold", address, 0, host.options.hostInterface, method, holdDeadlineMs]));
  const release = async () => {
    const { dropped } = await host.helper.ask(["release", address, 0]);
    return { held: 0, replayed: 0, dropped: Number(dropped) };
  };
  // Whether it works is known by doing it once.
  await hold();
  await release();
  return {
    method,
    route: `blackhole ${address}/32`,
    pid: undefined,
    begin: hold,
    release,
    extend: () => void hold().catch((caught: unknown) => cannotExtend(host, caught)),
    quit: () => void release().catch(() => undefined),
  };
}

/** The element of the set has the deadline: the kernel takes it out by itself. */
async function openNftRule(host: HoldHost, workload: string, address: string): Promise<Hold> {
  const table = nftTable(host, workload);
  const change = (input: string) => run(host.options.tools.nft, ["-f", "-"], { deadlineMs: 5000, input });
  const element = `{ ${address} timeout ${holdDeadlineMs / 1000}s }`;
  await removeNftRule(host, workload);
  const ruleset = [
    `add table ip ${table}`,
    `add set ip ${table} held { type ipv4_addr; flags timeout; }`,
    `add chain ip ${table} arriving { type filter hook prerouting priority raw; policy accept; }`,
    `add rule ip ${table} arriving ip daddr @held counter drop`,
  ];
  await change(`${ruleset.join("\n")}\n`);
  return {
    method: "nft_drop",
    route: `blackhole ${address}/32`,
    pid: undefined,
    begin: async () => void (await change(`add element ip ${table} held ${element}\n`)),
    async release() {
      const { stdout } = await run(host.options.tools.nft, ["list", "chain", "ip", table, "arriving"], { deadlineMs: 5000 });
      await removeNftRule(host, workload);
      return { held: 0, replayed: 0, dropped: Number(/counter packets (\d+)/.exec(stdout)?.[1] ?? 0) };
    },
    extend() {
      // One transaction: a packet in between finds one of the two. An element that is there keeps its time, so it goes first.
      const input = `add element ip ${table} held ${element}\ndelete element ip ${table} held { ${address} }\nadd element ip ${table} held ${element}\n`;
      change(input).catch((caught: unknown) => cannotExtend(host, caught));
    },
    quit: () => void removeNftRule(host, workload).catch(() => undefined),
  };
}

const cannotExtend = (host: HoldHost, caught: unknown) =>
  host.options.log.warn({ reason: Fault.from(caught).message }, "hold.not_extended");

const nftTable = (host: HoldHost, workload: string) => `aether-hold-${shortName(host, workload)}`;

async function removeNftRule(host: HoldHost, workload: string): Promise<void> {
  await run(host.options.tools.nft, ["delete", "table", "ip", nftTable(host, workload)], { deadlineMs: 5000, okCodes: [0, 1] });
}

/** Ends a hold of an earlier life of this process: its own process, if that pid still is one, and its table. */
export async function endHold(host: HoldHost, workload: string, { holdPid, holdMethod }: LeftHold): Promise<void> {
  if (holdPid !== undefined && (await readProc(holdPid, "cmdline"))?.includes("\0hold\0")) signalPid(holdPid, "SIGKILL");
  if (holdMethod === "nft_drop") await removeNftRule(host, workload);
}

/** What the journal says of a hold. */
export interface LeftHold {
  readonly holdPid?: number | undefined;
  readonly holdMethod?: string | undefined;
}

/** Why each method does not work on a host; undefined: it does. */
export type HoldReasons = Readonly<Record<HoldMethod, string | undefined>>;

/** Found by doing each once. */
export async function probeHolds(host: HoldHost, signal: AbortSignal): Promise<HoldReasons> {
  const reasonOf = (work: Promise<unknown>) =>
    work.then(
      () => undefined,
      (caught: unknown) => Fault.from(caught).message,
    );
  const kernel = host.helper.ask(["probe"], 10_000).then((said) => said.hold as { xdpErrno: number; tcErrno: number });
  const needsZero = async (name: "xdpErrno" | "tcErrno") => {
    const errno = (await kernel)[name];
    if (errno !== 0) throw fault("TOOL_FAILED", `the kernel refused it (errno ${errno})`);
  };
  const probed = "probe.hold"; // no workload has a dot in its name
  const tryOpen = async (open: Promise<Hold>) => {
    const hold = await open;
    hold.quit();
    if (hold.pid !== undefined)
      await until(
        "the trial hold to end",
        10,
        3000,
        async () => ((await readProc(hold.pid ?? 0, "stat")) === undefined ? true : undefined),
        signal,
      );
  };
  const unused = "192.0.2.1"; // RFC 5737: an address of documentation, which nobody has
  return {
    queue: await reasonOf(tryOpen(openQueue(host, probed, unused, 3000, signal))),
    xdp_icmp: await reasonOf(needsZero("xdpErrno")),
    tc_drop: await reasonOf(needsZero("tcErrno")),
    nft_drop: await reasonOf(tryOpen(openNftRule(host, probed, unused))),
  };
}
