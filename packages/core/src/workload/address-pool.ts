// Addresses of workloads: one /32 each out of one network.
import { fault, parseIpv4 } from "@aether/contract";

export interface AddressPool {
  readonly cidr: string;
  readonly firstAddress: number;
  readonly lastAddress: number;
}

const toNumber = (address: string): number => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
const toText = (address: number): string => [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");

/** Parses `a.b.c.d/n` with n from 16 to 30. The network's and the broadcast address are left out. Throws CONFIG_INVALID. */
export function parsePool(cidr: string): AddressPool {
  const [address = "", bits = ""] = cidr.split("/");
  const length = Number(bits);
  if (!/^\d{1,2}$/.test(bits) || length < 16 || length > 30) throw fault("CONFIG_INVALID", `addressPool: ${cidr} is not a /16 to /30`);
  const start = toNumber(parseIpv4(address, "addressPool"));
  const size = 2 ** (32 - length);
  if (start % size !== 0) throw fault("CONFIG_INVALID", `addressPool: ${cidr} does not begin on its own boundary`);
  return { cidr, firstAddress: start + 1, lastAddress: start + size - 2 };
}

/** Throws INVALID_ARGUMENT when the address is no IPv4 address or is outside of the pool. */
export function requireInPool(pool: AddressPool, address: string, field: string): string {
  const number = toNumber(parseIpv4(address, field));
  if (number >= pool.firstAddress && number <= pool.lastAddress) return toText(number);
  throw fault("INVALID_ARGUMENT", `${address} is not in the pool of workload addresses, ${pool.cidr}`, { field });
}

/** The lowest address that is free. Throws NO_TARGET when there is none. */
export function firstFree(pool: AddressPool, used: ReadonlySet<string>): string {
  for (let number = pool.firstAddress; number <= pool.lastAddress; number++) {
    const address = toText(number);
    if (!used.has(address)) return address;
  }
  throw fault("NO_TARGET", `all addresses of ${pool.cidr} are taken`, { hint: "Remove workloads, or configure a larger addressPool." });
}
