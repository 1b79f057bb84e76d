// Identifiers. What a person names (node, workload) is a DNS label; what the system makes has a prefix that says what it is,
// and sorts by time.
import { fault } from "./faults.ts";

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type NodeId = Branded<"NodeId">;
export type WorkloadName = Branded<"WorkloadName">;
export type MigrationId = Branded<"MigrationId">;

/** RFC 1123 label, at most 40 characters so that names derived from it (namespaces, containers, cgroups) fit their limits. */
const label = /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/;

/** Can it be the name of a node or of a workload? */
export const isLabel = (text: string): boolean => label.test(text);

/** Parses a name given by a person. Throws INVALID_ARGUMENT that names the field. */
export function parseLabel(text: string, field: string): string {
  if (isLabel(text)) return text;
  throw fault(
    "INVALID_ARGUMENT",
    `${field} must be a DNS label of 1 to 40 characters (a-z, 0-9 and -), not ${JSON.stringify(text.slice(0, 60))}`,
    {
      field,
    },
  );
}

export const parseNodeId = (text: string, field = "node_id"): NodeId => parseLabel(text, field) as NodeId;
export const parseWorkloadName = (text: string, field = "name"): WorkloadName => parseLabel(text, field) as WorkloadName;

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

/**
 * A new identifier: prefix, 10 characters of time (ms, Crockford base32, sortable), 8 random ones.
 * @param random 5 random bytes, given by the caller: this package has no I/O.
 */
export function makeId(
  prefix: "wl" | "mig" | "cmd" | "snap" | "sig" | "dec" | "drl" | "tok" | "ses" | "acc" | "asm" | "drs" | "run",
  nowMs: number,
  random: Uint8Array,
): string {
  let time = "";
  for (let rest = nowMs, i = 0; i < 10; i++, rest = Math.floor(rest / 32)) time = (alphabet[rest % 32] ?? "0") + time;
  let bits = 0n;
  for (const byte of random.subarray(0, 5)) bits = (bits << 8n) | BigInt(byte);
  let tail = "";
  for (let i = 0; i < 8; i++, bits >>= 5n) tail = (alphabet[Number(bits & 31n)] ?? "0") + tail;
  return `${prefix}-${time}${tail}`;
}

const ipv4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;

/** Parses a dotted IPv4 address. Throws INVALID_ARGUMENT that names the field. */
export function parseIpv4(text: string, field: string): string {
  if (ipv4.test(text)) return text;
  throw fault("INVALID_ARGUMENT", `${field} must be an IPv4 address, not ${JSON.stringify(text.slice(0, 60))}`, { field });
}
