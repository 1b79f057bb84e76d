// The cloud's network, made and unmade: a namespace with a bridge ("the VPC"), one namespace a node, cables between them, and the machine's own
// cable, so that any client on it reaches workload addresses. Every step can be repeated; `closeFabric` works from names alone, after any crash.
import { existsSync } from "node:fs";
import { fault } from "@aether/contract";
import type { CloudLayout, NodeLayout } from "../layout.ts";
import { ip, ipBatch, namespacesOf, setKernelNetwork, tryIp } from "./ip.ts";

/**
 * Makes the fabric, the nodes' namespaces and the cables; brings all up.
 * @param owner directory of the cloud, kept as the alias of the machine's link: whoever finds the link knows whose it is.
 */
export async function openFabric(cloud: CloudLayout, owner: string): Promise<void> {
  await openNamespace(cloud.fabricNamespace);
  await setKernelNetwork(cloud.fabricNamespace, quiet(["all", "default"]));
  await addLink(cloud.fabricNamespace, cloud.bridge, ["type", "bridge", "forward_delay", "0", "stp_state", "0"]);
  await ipBatch(
    [
      ["link", "set", "lo", "up"],
      ["link", "set", cloud.bridge, "up"],
      ["addr", "replace", `${cloud.metadataAddress}/32`, "dev", cloud.bridge],
      ["route", "replace", cloud.subnet, "dev", cloud.bridge, "src", cloud.metadataAddress],
    ],
    cloud.fabricNamespace,
  );
  await plugMachine(cloud, owner);
  for (const node of cloud.nodes) await openNode(cloud, node);
}

/**
 * Takes the prefix for this cloud: the fabric's namespace, which only one can make. Throws LOCKED when it exists; nothing is changed then.
 * Two clouds that start at the same moment would otherwise build one network together, and the first to fail would take it from the other.
 */
export async function claimFabric(cloud: CloudLayout): Promise<void> {
  if (await tryIp(["netns", "add", cloud.fabricNamespace])) return;
  throw fault("LOCKED", `the network namespace ${cloud.fabricNamespace} exists: another local cloud has just been started`, {
    hint: `Its directory: ip link show ${cloud.hostLink}. Or give this one another --prefix and --subnet.`,
  });
}

/** Removes every namespace of the rule, and the link of the machine. Nothing is left, whatever was there; processes inside must be gone. */
export async function closeFabric(isOurs: (name: string) => boolean, hostLink?: string): Promise<string[]> {
  const removed: string[] = [];
  if (hostLink !== undefined && existsSync(`/sys/class/net/${hostLink}`) && (await tryIp(["link", "del", hostLink])))
    removed.push(`link ${hostLink}`);
  for (const name of await namespacesOf(isOurs)) {
    await ip(["netns", "del", name]);
    removed.push(`namespace ${name}`);
  }
  return removed;
}

async function openNode(cloud: CloudLayout, node: NodeLayout): Promise<void> {
  await openNamespace(node.namespace);
  await setKernelNetwork(node.namespace, quiet(["all", "default"]));
  await setKernelNetwork(node.namespace, { "1": ["ipv4/ip_forward"] });
  if (!(await hasLink(node.namespace, "eth0"))) {
    await tryIp(["link", "del", node.fabricLink], cloud.fabricNamespace);
    await ip(["link", "add", node.fabricLink, "type", "veth", "peer", "name", "eth0", "netns", node.namespace], cloud.fabricNamespace);
  }
  // A broadcast ARP question for a proxied address is answered after a random pause of up to 0.8 s by default: a client would see it as a gap.
  await setKernelNetwork(node.namespace, { "0": ["ipv4/neigh/eth0/proxy_delay", ...quietIpv4("eth0")] });
  await ipBatch(
    [
      ["link", "set", node.fabricLink, "master", cloud.bridge],
      ["link", "set", node.fabricLink, "up"],
    ],
    cloud.fabricNamespace,
  );
  await ipBatch(
    [
      ["link", "set", "lo", "up"],
      ["link", "set", "eth0", "up"],
      ["addr", "replace", `${node.address}/16`, "dev", "eth0"],
      ["route", "replace", `${cloud.metadataAddress}/32`, "dev", "eth0", "src", node.address],
    ],
    node.namespace,
  );
}

async function plugMachine(cloud: CloudLayout, owner: string): Promise<void> {
  if (!existsSync(`/sys/class/net/${cloud.hostLink}`)) {
    await tryIp(["link", "del", cloud.hostFabricLink], cloud.fabricNamespace);
    await ip(["link", "add", cloud.hostLink, "type", "veth", "peer", "name", cloud.hostFabricLink, "netns", cloud.fabricNamespace]);
  }
  await ip(["link", "set", cloud.hostLink, "alias", `${aliasStart}${owner}`.slice(0, 255)]);
  await ipBatch(
    [
      ["link", "set", cloud.hostFabricLink, "master", cloud.bridge],
      ["link", "set", cloud.hostFabricLink, "up"],
    ],
    cloud.fabricNamespace,
  );
  await ip(["addr", "replace", `${cloud.hostAddress}/16`, "dev", cloud.hostLink]);
  await ip(["link", "set", cloud.hostLink, "up"]);
}

/** Before the directory in the link's alias. */
export const aliasStart = "aether cloud in ";

async function openNamespace(name: string): Promise<void> {
  if (!existsSync(`/run/netns/${name}`)) await ip(["netns", "add", name]);
}

/** No answer from a wrong path is dropped, nobody is told of a better one, and no IPv6 chatter. */
function quiet(scopes: readonly string[]): Record<string, string[]> {
  const off = scopes.flatMap(quietIpv4);
  return existsSync("/proc/sys/net/ipv6") ? { "0": off, "1": scopes.map((scope) => `ipv6/conf/${scope}/disable_ipv6`) } : { "0": off };
}

const quietIpv4 = (scope: string) => [`ipv4/conf/${scope}/rp_filter`, `ipv4/conf/${scope}/send_redirects`];

async function hasLink(namespace: string, name: string): Promise<boolean> {
  return tryIp(["link", "show", "dev", name], namespace);
}

async function addLink(namespace: string, name: string, kind: readonly string[]): Promise<void> {
  if (!(await hasLink(namespace, name))) await ip(["link", "add", "name", name, ...kind], namespace);
}
