// What a local cloud is called and where everything has its address: pure, from a prefix and a subnet, so that two clouds can live on one machine.
import { fault, parseIpv4 } from "@aether/contract";

/** One node: a network namespace with its own address, metadata and agent. */
export interface NodeLayout {
  /** n1, n2, … */
  readonly id: string;
  /** The name under /run/netns. */
  readonly namespace: string;
  /** Of eth0 in the node, and by which the metadata service knows it. */
  readonly address: string;
  /** Its cable's end in the fabric. */
  readonly fabricLink: string;
  readonly zone: string;
  readonly zoneId: string;
  readonly instanceId: string;
  readonly instanceType: string;
}

export interface CloudLayout {
  readonly prefix: string;
  /** A.B.0.0/16 */
  readonly subnet: string;
  /** The namespace that holds the bridge and the metadata service. */
  readonly fabricNamespace: string;
  readonly bridge: string;
  /** The machine's own end of its cable into the fabric, and the other end. */
  readonly hostLink: string;
  readonly hostFabricLink: string;
  readonly hostAddress: string;
  readonly metadataAddress: string;
  readonly region: string;
  /** The network that workloads get their addresses from. */
  readonly workloadPool: string;
  readonly demoAddress: string;
  readonly nodes: readonly NodeLayout[];
}

export interface LayoutOptions {
  /** 1 to 5 characters: interface names end at 15. Default "ae". */
  readonly prefix?: string;
  /** A.B.0.0/16 in private space. Default 10.77.0.0/16. */
  readonly subnet?: string;
  /** 0 to 16. Default 2. */
  readonly nodeCount?: number;
}

/**
 * Which names of namespaces, containers and cgroups on the machine belong to a cloud (or to one node of it, by its namespace): its own, and
 * those that an engine derives from a host's name ("ae-HOST-…"). Strict, because clouds with other prefixes may run beside it.
 */
export function namesOf(prefix: string, nodeNamespace?: string): (name: string) => boolean {
  const rule =
    nodeNamespace === undefined
      ? new RegExp(`^(${prefix}-(fabric|n\\d+)|ae-${prefix}-n\\d+-.+)$`)
      : new RegExp(`^(${nodeNamespace}|ae-${nodeNamespace}-.+)$`);
  return (name) => rule.test(name);
}

const zones = ["a", "b", "c"] as const;

/** Throws INVALID_ARGUMENT naming prefix, subnet or nodes. */
export function cloudLayout(options: LayoutOptions = {}): CloudLayout {
  const prefix = options.prefix ?? "ae";
  if (!/^[a-z][a-z0-9]{0,4}$/.test(prefix)) {
    throw fault("INVALID_ARGUMENT", `prefix must be 1 to 5 characters (a-z, 0-9), beginning with a letter, not ${JSON.stringify(prefix)}`, {
      field: "prefix",
    });
  }
  const subnet = options.subnet ?? "10.77.0.0/16";
  const network = subnetPrefix(subnet);
  const nodeCount = options.nodeCount ?? 2;
  if (!Number.isInteger(nodeCount) || nodeCount < 0 || nodeCount > 16) {
    throw fault("INVALID_ARGUMENT", `nodes must be a whole number from 0 to 16, not ${nodeCount}`, { field: "nodes" });
  }
  return {
    prefix,
    subnet,
    fabricNamespace: `${prefix}-fabric`,
    bridge: "br0",
    hostLink: `${prefix}-host`,
    hostFabricLink: "host0",
    hostAddress: `${network}.0.1`,
    metadataAddress: "169.254.169.254",
    region: "us-east-1",
    workloadPool: `${network}.1.0/24`,
    demoAddress: `${network}.1.1`,
    nodes: Array.from({ length: nodeCount }, (_, index) => nodeLayout(prefix, network, index)),
  };
}

function nodeLayout(prefix: string, network: string, index: number): NodeLayout {
  const zone = zones[index % zones.length] ?? "a";
  const id = `n${index + 1}`;
  return {
    id,
    namespace: `${prefix}-${id}`,
    address: `${network}.0.${11 + index}`,
    fabricLink: id,
    zone: `us-east-1${zone}`,
    zoneId: `use1-az${(index % zones.length) + 1}`,
    instanceId: `i-0${hex(`${prefix}/${network}/${id}`)}`,
    instanceType: "m6i.large",
  };
}

function subnetPrefix(subnet: string): string {
  const match = /^(\d{1,3}\.\d{1,3})\.0\.0\/16$/.exec(subnet);
  const network = match?.[1];
  const isPrivate = network !== undefined && /^(10\.|172\.(1[6-9]|2\d|3[01])$|192\.168$)/.test(network);
  if (network === undefined || !isPrivate) {
    throw fault("INVALID_ARGUMENT", `subnet must be A.B.0.0/16 in private address space, not ${JSON.stringify(subnet)}`, {
      field: "subnet",
    });
  }
  parseIpv4(`${network}.0.0`, "subnet");
  return network;
}

/** 16 hex digits that stay the same for the same text (FNV-1a, 64 bit): an instance id that a restart does not change. */
function hex(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const char of text) hash = BigInt.asUintN(64, (hash ^ BigInt(char.codePointAt(0) ?? 0)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}
