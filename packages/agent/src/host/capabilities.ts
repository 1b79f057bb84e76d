// What this node can do, as the control plane may count on it. Checkpointing is what the canary did, never what a version promises; until
// the canary has run the node says so, and takes no move. What is missing is named with its reason and the way to mend it.
import { access, constants } from "node:fs/promises";
import type { CloudFacts, NodeCapabilitiesSchema, NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { type CanaryResult, type HoldMethod, helperTls, holdMethods, type KernelProbe, type Tools } from "@aether/engine";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { InstanceFacts } from "../imds/client.ts";
import { probeDirtyTracking } from "./dirty-tracking.ts";
import { type Machine, versionArguments, versionOf } from "./machine.ts";

export type Capabilities = MessageInitShape<typeof NodeCapabilitiesSchema>;
export type NodeFacts = MessageInitShape<typeof NodeFactsSchema>;

/** What the probes found; the canary's part is undefined until it has run. */
export interface Probes {
  readonly versions: Readonly<Partial<Record<keyof Tools, string>>>;
  readonly hasUserfaultfd: boolean;
  readonly dirtyTracking: "wp_async" | "soft_dirty" | "none";
  readonly canary: CanaryResult | undefined;
  /** OpenSSL's version in our native program; undefined: pages travel through the agents. */
  readonly helperTls?: string | undefined;
  /** Ways of holding packets and watching workloads, by doing; undefined until that was done. */
  readonly kernel: KernelProbe | undefined;
}

/** Asks each tool for its version and looks for what the kernel offers. A few hundred ms, no privilege. */
export async function probeHost(machine: Machine, tools: Tools, signal: AbortSignal): Promise<Probes> {
  const versions: Partial<Record<keyof Tools, string>> = {};
  await Promise.all(
    (["criu", "runc", "ip", "nft", "rsync", "native", "bpf"] as const).map(async (name) => {
      const version = await versionOf(tools[name], versionArguments[name], signal);
      if (version !== undefined) versions[name] = version;
    }),
  );
  const hasUserfaultfd = process.getuid?.() === 0 || (await isThere("/dev/userfaultfd", constants.R_OK | constants.W_OK));
  return {
    versions,
    hasUserfaultfd,
    helperTls: await helperTls(tools),
    dirtyTracking: await probeDirtyTracking(machine.kernelVersion, hasUserfaultfd),
    canary: undefined,
    kernel: undefined,
  };
}

/** The probes in the words of the contract. */
export function capabilitiesOf(
  machine: Machine,
  probes: Probes,
  ladder: readonly HoldMethod[] = holdMethods,
  supportsChaos = false,
): Capabilities {
  const { versions, canary } = probes;
  const reason = canary === undefined ? "the canary has not run yet" : canary.reason;
  return {
    kernelVersion: machine.kernelVersion,
    arch: machine.arch,
    cpuFeatures: [...machine.cpuFeatures],
    xsaveComponents: [...machine.xsaveComponents],
    cgroupVersion: machine.cgroupVersion,
    pidLimit: BigInt(machine.pidLimit),
    timeNamespace: machine.timeNamespace,
    cpuModel: machine.cpuModel,
    supportsChaos,
    criu: {
      available: canary?.isAvailable ?? false,
      version: canary?.criuVersion || (versions.criu ?? ""),
      canaryDumpMs: canary?.dumpMs ?? 0,
      canaryRestoreMs: canary?.restoreMs ?? 0,
      reason: canary?.isAvailable ? "" : reason,
    },
    runcVersion: versions.runc ?? "",
    dirtyTracking: probes.dirtyTracking,
    lazyPages: canary?.lazyPages ?? false,
    packetHold: ladder.find((method) => probes.kernel !== undefined && probes.kernel.holds[method] === undefined) ?? "none",
    supportsSnapshot: canary?.isAvailable ?? false,
    ebpf: probes.kernel !== undefined && probes.kernel.watch === undefined,
    missing: missingOf(probes, reason),
  };
}

const toolPurposes: Readonly<Record<keyof Tools, { readonly why: string; readonly mend: string }>> = {
  criu: { why: "it checkpoints and restores processes", mend: "run `npm run prepare:machine`: it installs a CRIU that fits the kernel" },
  runc: { why: "it runs workloads in containers", mend: "apt-get install runc" },
  ip: { why: "it makes namespaces, links and routes", mend: "apt-get install iproute2" },
  nft: { why: "CRIU closes the network with it while a workload is frozen", mend: "apt-get install nftables" },
  rsync: { why: "it copies a workload's files to another node", mend: "apt-get install rsync" },
  native: { why: "it keeps a workload's output, holds packets and announces addresses", mend: "make -C native (needs gcc), or reinstall" },
  bpf: {
    why: "it measures blackouts, resets and retransmissions in the kernel; moves work without it",
    mend: "npm run prepare:machine (needs clang and libbpf), or reinstall",
  },
};

function missingOf(probes: Probes, canaryReason: string) {
  const missing: { what: string; why: string; mend: string }[] = [];
  for (const [tool, purpose] of Object.entries(toolPurposes)) {
    if (!Object.hasOwn(probes.versions, tool))
      missing.push({ what: tool === "native" || tool === "bpf" ? `aether-${tool}` : tool, ...purpose });
  }
  if (probes.canary !== undefined && !probes.canary.isAvailable && probes.versions.criu !== undefined) {
    missing.push({
      what: "checkpoint and restore",
      why: canaryReason,
      mend: "run `aether doctor --target agent` on this node: it names the cause",
    });
  }
  if (probes.versions.native !== undefined && probes.helperTls === undefined) {
    missing.push({
      what: "TLS in aether-native",
      why: "memory travels through the agents, which takes about three times the processor time; in post-copy, where an agent ends before the last page has come, whoever needs a page that is missing waits until somebody removes the workload",
      mend: "apt-get install libssl-dev, then make -C native, or reinstall",
    });
  }
  const noQueue = probes.kernel?.holds.queue;
  if (noQueue !== undefined) {
    missing.push({
      what: "packet queue",
      why: `packets that arrive during a move are dropped instead of held, and clients wait longer: ${noQueue}`,
      mend: "modprobe tun, or give the container --device /dev/net/tun",
    });
  }
  if (probes.kernel?.watch !== undefined && probes.versions.bpf !== undefined) {
    missing.push({
      what: "programs in the kernel",
      why: `blackouts are measured by the agent's clock only: ${probes.kernel.watch}`,
      mend: "use a kernel with CONFIG_DEBUG_INFO_BTF, and run the agent as root",
    });
  }
  if (probes.canary?.isAvailable && !probes.canary.lazyPages) {
    missing.push({
      what: "post-copy (lazy pages)",
      why: "large workloads are frozen for as long as their memory travels",
      mend: "needs userfaultfd and a pipe limit that fits; `aether doctor --target agent` says which one is missing",
    });
  }
  return missing;
}

/** All facts of this node. */
export function factsOf(
  machine: Machine,
  probes: Probes,
  link: { readonly address: string; readonly port: number },
  instance: InstanceFacts | undefined,
  agentVersion: string,
  allowed: { readonly packetHold?: readonly HoldMethod[] | undefined; readonly allowChaos?: boolean } = {},
): NodeFacts {
  return {
    hostname: machine.hostname,
    linkAddress: link.address,
    linkPort: link.port,
    memoryBytes: BigInt(machine.memoryBytes),
    cpuCount: machine.cpuCount,
    agentVersion,
    bootId: machine.bootId,
    capabilities: capabilitiesOf(machine, probes, allowed.packetHold, allowed.allowChaos),
    ...(instance && { cloud: cloudOf(instance) }),
  };
}

const cloudOf = ({
  region,
  zone,
  zoneId,
  instanceId,
  instanceType,
  lifecycle,
}: InstanceFacts): Omit<CloudFacts, "$typeName" | "$unknown"> => ({
  provider: "aws",
  region,
  zone,
  zoneId,
  instanceId,
  instanceType,
  lifecycle,
});

const isThere = (path: string, mode: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  );
