// Addresses that a document from outside must not lead us to: this machine, private networks, link-local (where cloud metadata lives),
// multicast and reserved ranges.
import { BlockList, isIP } from "node:net";

const denied = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
] as const)
  denied.addSubnet(network, prefix, "ipv4");
for (const [network, prefix] of [
  ["::", 127],
  // IPv4 in disguise: NAT64 and 6to4 lead to the ranges above as well.
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["2002::", 16],
  ["100::", 64],
  ["2001::", 23],
  ["2001:db8::", 32],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const)
  denied.addSubnet(network, prefix, "ipv6");

/** True for what is not a public unicast address, an IPv4 address in an IPv6 one included. */
export function isPrivateAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, "").replace(/%.*$/, "");
  const family = isIP(bare);
  if (family === 0) return true;
  if (family === 4) return denied.check(bare, "ipv4");
  // `check` maps ::ffff:a.b.c.d to the IPv4 rules itself.
  return denied.check(bare, "ipv6");
}
