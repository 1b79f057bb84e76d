// Layer 3, as cloud networks have it: the workload's address is a /32 that the host routes to the workload's veth; the host itself never owns
// it, so its kernel never answers for it with a reset. Neighbours on the host's segment learn it by proxy ARP.

import { readFile, writeFile } from "node:fs/promises";
import { fault } from "@aether/contract";
import { isErrno, run } from "@aether/kit";
import { type Host, namespaceName, vethName } from "../host.ts";

const deadlineMs = 10_000;
const gateway = "169.254.1.1";

/** Several `ip` commands in one process: in the freeze each start of a program counts. */
async function ipBatch(host: Host, lines: readonly string[], namespace?: string): Promise<void> {
  const args = [...(namespace === undefined ? [] : ["-n", namespace]), "-batch", "-"];
  await run(host.options.tools.ip, args, { deadlineMs, input: `${lines.join("\n")}\n` });
}

async function ipTolerant(host: Host, ...args: readonly string[]): Promise<void> {
  await run(host.options.tools.ip, args, { deadlineMs, okCodes: [0, 1, 2, 255] });
}

async function hasNamespace(host: Host, name: string): Promise<boolean> {
  const listed = await run(host.options.tools.ip, ["netns", "list"], { deadlineMs });
  return listed.stdout.split("\n").some((line) => line.split(" ")[0] === name);
}

/**
 * Namespace, veth and inner routes. The host's end stays down until `leadHere`: restored sockets live in the kernel before their process runs, and would send
 * retransmissions before the commit, and a FIN to the client when a restore is aborted. Made anew when half of it is there.
 */
export async function makeNetwork(host: Host, workload: string, address: string): Promise<void> {
  await removeNetwork(host, workload, address);
  const [namespace, veth] = [namespaceName(host, workload), vethName(host, workload)];
  const { ip } = host.options.tools;
  await run(ip, ["netns", "add", namespace], { deadlineMs });
  await run(ip, ["link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", namespace], { deadlineMs });
  await ipBatch(
    host,
    [
      "link set lo up",
      `addr add ${address}/32 dev eth0`,
      "link set eth0 up",
      `route add ${gateway} dev eth0 scope link`,
      `route add default via ${gateway}`,
    ],
    namespace,
  );
  await writeFile(`/proc/sys/net/ipv4/conf/${veth}/rp_filter`, "0");
  const mac = (await readFile(`/sys/class/net/${veth}/address`, "utf8").catch(() => "")).trim() || (await macOf(host, veth));
  await ipBatch(host, [`neigh replace ${gateway} lladdr ${mac} dev eth0 nud permanent`], namespace);
}

/** /sys may show another namespace's devices (it is mounted once); `ip` asks the kernel. */
async function macOf(host: Host, device: string): Promise<string> {
  const shown = await run(host.options.tools.ip, ["-o", "link", "show", device], { deadlineMs });
  const mac = /link\/ether ([0-9a-f:]{17})/.exec(shown.stdout)?.[1];
  if (mac === undefined) throw fault("TOOL_FAILED", `${device} has no hardware address`);
  return mac;
}

/** The host leads the address to the workload, and neighbours to this host. */
export async function leadHere(host: Host, workload: string, address: string): Promise<void> {
  const veth = vethName(host, workload);
  await ipBatch(host, [
    `link set ${veth} up`,
    `route replace ${address}/32 dev ${veth}`,
    `neigh replace proxy ${address} dev ${host.options.hostInterface}`,
  ]);
}

/** Nothing of the frozen kernel gets out any more, and what still arrives is forwarded to the target. */
export async function cutTowards(host: Host, workload: string, address: string, peerAddress: string): Promise<void> {
  await ipBatch(host, [`link set ${vethName(host, workload)} down`, `route replace ${address}/32 via ${peerAddress}`]);
}

/** The address leads to the packet hold. */
export async function leadToDevice(host: Host, address: string, device: string): Promise<void> {
  await ipBatch(host, [`route replace ${address}/32 dev ${device}`]);
}

/** Tells the neighbours that the address is here now (gratuitous ARP). Best effort: neighbours learn it later by themselves. */
export async function announce(host: Host, address: string): Promise<void> {
  const args = ["announce", "--interface", host.options.hostInterface, "--address", address, "--count", "3", "--interval-ms", "30"];
  await run(host.options.tools.native, args, { deadlineMs: 5000 });
}

/** Takes away all that `makeNetwork` and `leadHere` made. Safe when there is nothing. */
export async function removeNetwork(host: Host, workload: string, address: string): Promise<void> {
  const namespace = namespaceName(host, workload);
  await ipTolerant(host, "neigh", "del", "proxy", address, "dev", host.options.hostInterface);
  await ipTolerant(host, "route", "del", `${address}/32`);
  await ipTolerant(host, "link", "del", vethName(host, workload));
  if (await hasNamespace(host, namespace)) await run(host.options.tools.ip, ["netns", "del", namespace], { deadlineMs });
}

export interface TcpCounters {
  readonly resetsSent: number;
  readonly segmentsRetransmitted: number;
}

/** The kernel's own counters of the network namespace that `pid` is in (/proc/PID/net/snmp, RFC 4022 names). */
export async function tcpCounters(pid: number): Promise<TcpCounters> {
  const text = await readFile(`/proc/${pid}/net/snmp`, "utf8").catch((caught: unknown) => {
    if (isErrno(caught, "ENOENT", "ESRCH")) return "";
    throw caught;
  });
  const [names, values] = text
    .split("\n")
    .filter((line) => line.startsWith("Tcp:"))
    .map((line) => line.split(" "));
  const at = (name: string) => Number(values?.[names?.indexOf(name) ?? -1] ?? 0);
  return { resetsSent: at("OutRsts"), segmentsRetransmitted: at("RetransSegs") };
}
