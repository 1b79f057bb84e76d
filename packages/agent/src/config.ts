// The agent's configuration: a YAML file, AETHER_AGENT_* variables over it (AETHER_AGENT_CORE_ADDRESS, AETHER_AGENT_IMDS__ENDPOINT).
import { access, constants } from "node:fs/promises";
import { hostname, networkInterfaces } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { fault, parseIpv4, parseNodeId } from "@aether/contract";
import { holdMethods, type Tools } from "@aether/engine";
import { readTextIfThere } from "@aether/kit";
import { z } from "zod";

const absolutePath = z.string().refine(isAbsolute, "must be an absolute path");
const port = z.number().int().min(0).max(65_535);
const label = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/, "must be a DNS label of 1 to 40 characters");

/** What an operator may set. Unknown keys are refused. */
export const agentConfigSchema = z.strictObject({
  coreAddress: z
    .string()
    .regex(
      /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}(,(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}){0,9}$/,
      "must be HOST:PORT, or up to ten of them separated by commas",
    )
    .describe("HOST:PORT of the control plane's port for agents; of several control planes all, separated by commas."),
  joinToken: z.string().meta({ isSecret: true }).optional().describe("aj_SECRET.PIN; needed once."),
  joinTokenFile: absolutePath.optional().describe("The same in a file."),
  nodeId: label.optional().describe("Default: the instance id, where there is a metadata service; else the host name."),
  hostId: label.optional().describe("Names this node on its machine, where several share one. Default: the node id."),
  stateDir: absolutePath.default("/var/lib/aether/agent").describe("What the agent must not forget: identity, journal, spool."),
  /** Snapshots in an S3 bucket in place of a directory; the credentials are the node's own (instance profile, environment, shared file). The same for all nodes. */
  snapshotBucket: z
    .strictObject({
      bucket: z
        .string()
        .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "must be the name of a bucket")
        .describe("Its name; it must exist."),
      prefix: z
        .string()
        .regex(/^([A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*)?$/, "must be words separated by slashes")
        .default("aether")
        .describe("Names in the bucket begin with it."),
      region: z.string().min(1).optional().describe("Where it is."),
      endpoint: z
        .url({ protocol: /^https?$/ })
        .optional()
        .describe("Of another service that speaks S3, e.g. http://minio:9000."),
    })
    .optional(),
  snapshotDir: absolutePath.default("/var/lib/aether/snapshots").describe("A directory that all nodes reach."),
  hide: z
    .array(absolutePath)
    .max(100)
    .default([])
    .describe(
      "Files and folders that workloads on the machine's own root (rootfs: host) do not see, beside the agent's state, /etc/aether and /var/lib/aether.",
    ),
  tools: z
    .strictObject({
      criu: absolutePath.optional().describe("Default: the one of the preparation, else of the PATH; so for all tools."),
      runc: absolutePath.optional().describe("Runs workloads."),
      ip: absolutePath.optional().describe("Makes namespaces and links."),
      nft: absolutePath.optional().describe("Closes the network of a frozen workload."),
      rsync: absolutePath.optional().describe("Copies files to another node."),
      native: absolutePath.optional().describe("Our own helper."),
      bpf: absolutePath.optional().describe("Our own programs in the kernel."),
    })
    .prefault({}),
  hostInterface: z
    .string()
    .regex(/^[^\s/:%]{1,15}$/, "must be the name of a network interface")
    .optional()
    .describe("Default: the interface of the default route."),
  packetHold: z
    .array(z.enum(holdMethods))
    .min(1)
    .optional()
    .describe("How packets are held while a workload moves: the first of these that works. Default: all, the best first."),
  linkAddress: z.ipv4().optional().describe("Where other agents reach this one. Default: the first IPv4 address of hostInterface."),
  linkPort: port.default(3444).describe("0: any free port."),
  imds: z
    .strictObject({
      enabled: z
        .union([z.literal("auto"), z.boolean()])
        .default("auto")
        .describe("auto: watched when it answers at the start, and looked for again every minute."),
      endpoint: z
        .url({ protocol: /^http$/ })
        .default("http://169.254.169.254")
        .describe("Of the instance metadata service."),
      intervalMs: z.number().int().min(100).max(60_000).optional().describe("Default: as the control plane says, else 1000."),
    })
    .prefault({}),
  allowChaos: z.boolean().default(false).describe('Lets drills of the control plane kill this agent (kind "crash").'),
  spoolMaxBytes: z
    .number()
    .int()
    .min(1 << 20)
    .default(64 << 20)
    .describe("Signals and results that core has not acknowledged may take so much disk."),
  logLevel: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info").describe("What is written to the log."),
});

export type AgentConfig = z.infer<typeof agentConfigSchema>;

/** Where the machine's preparation puts what the distribution does not have. */
const prefix = process.env.AETHER_PREFIX || "/opt/aether";
const privateCriu = join(prefix, "criu/bin/criu");
const packagedNative = fileURLToPath(new URL("../../../native/build/aether-native", import.meta.url));
const installedNative = join(prefix, "bin/aether-native");
const packagedBpf = fileURLToPath(new URL("../../../native/build/aether-bpf", import.meta.url));
const installedBpf = join(prefix, "bin/aether-bpf");

/** The program of this name: among `first`, then in PATH. Undefined when it is nowhere. */
export async function findTool(name: string, first: readonly string[] = []): Promise<string | undefined> {
  const places = (process.env.PATH ?? "").split(delimiter).filter(isAbsolute);
  for (const path of [...first, ...places.map((dir) => join(dir, name))]) if (await isExecutable(path)) return path;
  return undefined;
}

/** Where each tool is. One that is nowhere has the path where it should be: calling it says TOOL_MISSING, and `doctor` says how to get it. */
export async function findTools({ criu, runc, ip, nft, rsync, native, bpf }: AgentConfig["tools"]): Promise<Tools> {
  return {
    criu: criu ?? (await findTool("criu", [privateCriu])) ?? "/usr/sbin/criu",
    runc: runc ?? (await findTool("runc")) ?? "/usr/bin/runc",
    ip: ip ?? (await findTool("ip", ["/usr/sbin/ip", "/sbin/ip"])) ?? "/usr/sbin/ip",
    nft: nft ?? (await findTool("nft", ["/usr/sbin/nft", "/sbin/nft"])) ?? "/usr/sbin/nft",
    rsync: rsync ?? (await findTool("rsync")) ?? "/usr/bin/rsync",
    native: native ?? (await findTool("aether-native", [installedNative, packagedNative])) ?? installedNative,
    bpf: bpf ?? (await findTool("aether-bpf", [installedBpf, packagedBpf])) ?? installedBpf,
  };
}

/** The interface of the default route with the lowest metric, else eth0. Format: proc(5), /proc/net/route. */
export async function findHostInterface(configured: string | undefined): Promise<string> {
  if (configured !== undefined) return configured;
  const table = (await readTextIfThere("/proc/net/route")) ?? "";
  const defaults = table
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t"))
    .filter((fields) => fields[1] === "00000000")
    .sort((a, b) => Number(a[6]) - Number(b[6]));
  return defaults[0]?.[0] ?? "eth0";
}

/** Throws CONFIG_INVALID when the interface has no IPv4 address and none is configured. */
export function findLinkAddress(configured: string | undefined, hostInterface: string): string {
  if (configured !== undefined) return parseIpv4(configured, "linkAddress");
  const found = networkInterfaces()[hostInterface]?.find(({ family }) => family === "IPv4");
  if (found) return found.address;
  throw fault("CONFIG_INVALID", `the interface ${hostInterface} has no IPv4 address; set linkAddress`, { field: "linkAddress" });
}

/** What this node asks to be called: configured, else the instance id, else the host name made a label. */
export function chooseNodeId(configured: string | undefined, instanceId: string | undefined, host: string = hostname()): string {
  if (configured !== undefined) return parseNodeId(configured, "nodeId");
  const name = (instanceId ?? host.split(".")[0] ?? "")
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .slice(0, 40)
    .replace(/^-+|-+$/g, "");
  return parseNodeId(name, "nodeId");
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
