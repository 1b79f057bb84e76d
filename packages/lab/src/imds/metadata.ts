// The metadata tree of one instance, as AWS lays it out. A leaf is text; a branch is listed by name, its own branches with a slash at the end.
// Source: "Instance metadata categories" and "Spot Instance interruption notices" of the EC2 user guide.
import type { NodeLayout } from "../layout.ts";
import type { Announcement } from "./interruptions.ts";

export interface InstanceFacts {
  readonly node: NodeLayout;
  readonly region: string;
  /** x86_64 or arm64. */
  readonly architecture: string;
  readonly startedAtMs: number;
  readonly notice: Announcement | undefined;
  readonly rebalance: Announcement | undefined;
}

interface Tree {
  readonly [name: string]: string | Tree;
}

/** What `GET /PATH` answers below the root: a leaf's text, a branch's listing, or undefined where there is nothing. */
export function readMetadata(facts: InstanceFacts, path: string): string | undefined {
  let at: string | Tree = treeOf(facts);
  const parts = path.split("/").filter((part) => part !== "");
  for (const part of parts) {
    if (typeof at === "string" || !Object.hasOwn(at, part)) return undefined;
    const next: string | Tree | undefined = at[part];
    if (next === undefined) return undefined;
    at = next;
  }
  if (typeof at === "string") return path.endsWith("/") ? undefined : at;
  return Object.entries(at)
    .map(([name, value]) => (typeof value === "string" ? name : `${name}/`))
    .join("\n");
}

function treeOf({ node, region, architecture, startedAtMs, notice, rebalance }: InstanceFacts): Tree {
  const hostname = `ip-${node.address.replaceAll(".", "-")}.ec2.internal`;
  return {
    latest: {
      dynamic: { "instance-identity": { document: identityDocument({ node, region, architecture, startedAtMs }) } },
      "meta-data": {
        "ami-id": amiId,
        events: {
          maintenance: { history: "[]", scheduled: "[]" },
          ...(rebalance && { recommendations: { rebalance: JSON.stringify({ noticeTime: instant(rebalance.announcedAtMs) }) } }),
        },
        hostname,
        "instance-action": "none",
        "instance-id": node.instanceId,
        "instance-life-cycle": "spot",
        "instance-type": node.instanceType,
        "local-hostname": hostname,
        "local-ipv4": node.address,
        placement: { "availability-zone": node.zone, "availability-zone-id": node.zoneId, region },
        ...(notice && {
          spot: {
            "instance-action": JSON.stringify({ action: "terminate", time: instant(notice.effectiveAtMs) }),
            "termination-time": instant(notice.effectiveAtMs),
          },
        }),
      },
    },
  };
}

const amiId = "ami-0000000000000local";

function identityDocument({ node, region, architecture, startedAtMs }: Omit<InstanceFacts, "notice" | "rebalance">): string {
  const document = {
    accountId: "000000000000",
    architecture,
    availabilityZone: node.zone,
    billingProducts: null,
    devpayProductCodes: null,
    marketplaceProductCodes: null,
    imageId: amiId,
    instanceId: node.instanceId,
    instanceType: node.instanceType,
    kernelId: null,
    pendingTime: instant(startedAtMs),
    privateIp: node.address,
    ramdiskId: null,
    region,
    version: "2017-09-30",
  };
  return JSON.stringify(document, null, 2);
}

/** AWS writes whole seconds: 2026-01-31T08:22:00Z. */
const instant = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;
