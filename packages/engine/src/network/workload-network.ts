// Layer 3, as cloud networks have it: the workload's address is a /32 that the host routes to the workload's veth; the host itself never owns
// it, so its kernel never answers for it with a reset. Neighbours on the host's segment learn it by proxy ARP.

import { writeFile } from "node:fs/promises";
import { readTextIfThere, run, type StandBy, standBy } from "@aether/kit";
import { type Host, namespaceName, shortName, vethName } from "../host.ts";
import { readProc } from "../runtime/process.ts";

const deadlineMs = 10_000;
const gateway = "169.254.1.1";

/** Several `ip` commands in one process, which may be started ahead of them: in the freeze each start of a program counts. */
export const readyRoutes = (host: Host, namespace?: string): StandBy =>
  standBy(host.options.tools.ip, [...(namespace === undefined ? [] : ["-n", namespace]), "-batch", "-"]);

async function ipBatch(routes: StandBy, lines: readonly string[]): Promise<void> {
  await routes.go(`${lines.join("\n")}\n`, { deadlineMs });
}

async function ipTolerant(host: Host, ...args: readonly string[]): Promise<void> {
  await run(host.options.tools.ip, args, { deadlineMs, okCodes: [0, 1, 2, 255] });
}

async function hasNamespace(host: Host, name: string): Promise<boolean> {
  const listed = await run(host.options.tools.ip, ["netns", "list"], { deadlineMs });
  return listed.stdout.split("\n").some((line) => line.split(" ")[0] === name);
}

/**
 * The hardware addresses of a workload's veth. Whether anything gets out is a matter of the host's end having the address that the workload's gateway is known by
 * (`open`) or another one (`closed`: the host's kernel takes the frames for somebody else's). Taking the link down and up again would do the same, but a link
 * that comes up is made ready for sending by a worker of the kernel some time after, and what is sent meanwhile is lost without a word.
 */
function hardwareAddresses(host: Host, workload: string) {
  const own = shortName(host, workload).match(/../g)?.join(":") ?? "";
  return { open: `02:ae:${own}`, closed: `06:ae:${own}`, inner: `0a:ae:${own}` };
}

/**
 * Namespace, veth and inner routes. The host's end stays closed until `leadHere`: restored sockets live in the kernel before their process runs, and would send
 * retransmissions before the commit, and a FIN to the client when a restore is aborted. Made anew when half of it is there.
 */
export async function makeNetwork(host: Host, workload: string, address: string): Promise<void> {
  await removeNetwork(host, workload, address);
  const [namespace, veth] = [namespaceName(host, workload), vethName(host, workload)];
  const { ip } = host.options.tools;
  const { open, closed, inner } = hardwareAddresses(host, workload);
  await withOwnSocketTable(() => run(ip, ["netns", "add", namespace], { deadlineMs }));
  const ends = ["address", closed, "type", "veth", "peer", "name", "eth0", "address", inner, "netns", namespace];
  await run(ip, ["link", "add", veth, ...ends], { deadlineMs });
  await ipBatch(readyRoutes(host, namespace), [
    "link set lo up",
    `addr add ${address}/32 dev eth0`,
    "link set eth0 up",
    `route add ${gateway} dev eth0 scope link`,
    `route add default via ${gateway}`,
    `neigh replace ${gateway} lladdr ${open} dev eth0 nud permanent`,
  ]);
  await writeFile(`/proc/sys/net/ipv4/conf/${veth}/rp_filter`, "0");
  await run(ip, ["link", "set", veth, "up"], { deadlineMs });
}

/** A network that an older version made is brought to what `leadHere` expects. Ahead of the freeze: packets may be lost for a moment. */
export async function renewNetwork(host: Host, workload: string, address: string): Promise<void> {
  const [veth, { open, inner }] = [vethName(host, workload), hardwareAddresses(host, workload)];
  const shown = await run(host.options.tools.ip, ["-o", "link", "show", veth], { deadlineMs });
  if (shown.stdout.includes(open)) return;
  await ipBatch(readyRoutes(host, namespaceName(host, workload)), [
    `link set eth0 address ${inner}`,
    `neigh replace ${gateway} lladdr ${open} dev eth0 nud permanent`,
  ]);
  await ipBatch(readyRoutes(host), openLines(host, workload, address));
}

const socketTable = "/proc/sys/net/ipv4/tcp_child_ehash_entries";
const socketTableEntries = 16_384;

/**
 * A new network namespace shares the machine's table of TCP sockets, and whoever lists its sockets (criu, and we, several times in a freeze) walks all
 * of that: 3 to 7 ms a walk with 262,144 entries, 0.24 ms with a table of its own of this size (256 KiB). Kernels before 6.1 cannot.
 */
async function withOwnSocketTable(makeNamespace: () => Promise<unknown>): Promise<void> {
  const before = await readTextIfThere(socketTable);
  if (before !== undefined) await writeFile(socketTable, String(socketTableEntries));
  await makeNamespace();
  if (before !== undefined) await writeFile(socketTable, before);
}

/** What the workload sends gets out. Its own hardware address is said beforehand: the packets that were held would be too many to wait for a question. */
function openLines(host: Host, workload: string, address: string): string[] {
  const [veth, { open, inner }] = [vethName(host, workload), hardwareAddresses(host, workload)];
  return [`link set ${veth} address ${open}`, `neigh replace ${address} lladdr ${inner} dev ${veth} nud permanent`];
}

/** The host leads the address to the workload, and neighbours to this host: lines for `ip -batch`. */
export function leadHereLines(host: Host, workload: string, address: string): string[] {
  const veth = vethName(host, workload);
  return [
    ...openLines(host, workload, address),
    `route replace ${address}/32 dev ${veth}`,
    `neigh replace proxy ${address} dev ${host.options.hostInterface}`,
  ];
}

export async function leadHere(host: Host, workload: string, address: string, routes = readyRoutes(host)): Promise<void> {
  await ipBatch(routes, leadHereLines(host, workload, address));
}

/** What arrives from now on is forwarded to the target's packet hold. What the workload has to say still gets out. */
export async function cutArriving(host: Host, address: string, peerAddress: string, routes = readyRoutes(host)): Promise<void> {
  await ipBatch(routes, [`route replace ${address}/32 via ${peerAddress}`]);
}

/**
 * Nothing of the frozen kernel gets out any more. Only after the stop: an answer that is cut off on its way would be sent again by the restored socket, but not
 * before its first retransmission timer, a second after the resume. And before the dump: what the frozen kernel sends later carries newer TCP timestamps than
 * the restored socket's, which the client would then drop (PAWS, RFC 7323).
 */
export async function cutLeaving(host: Host, workload: string, routes = readyRoutes(host)): Promise<void> {
  await ipBatch(routes, [`link set ${vethName(host, workload)} address ${hardwareAddresses(host, workload).closed}`]);
}

/** The address leads to the packet hold, as that says. */
export async function leadToHold(host: Host, route: string): Promise<void> {
  await ipBatch(readyRoutes(host), [`route replace ${route}`]);
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
  const [names, values] = ((await readProc(pid, "net/snmp")) ?? "")
    .split("\n")
    .filter((line) => line.startsWith("Tcp:"))
    .map((line) => line.split(" "));
  const at = (name: string) => Number(values?.[names?.indexOf(name) ?? -1] ?? 0);
  return { resetsSent: at("OutRsts"), segmentsRetransmitted: at("RetransSegs") };
}
