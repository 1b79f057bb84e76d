// What has been announced to which node, as AWS would: a termination notice with its time, a rebalance recommendation. Pure but for the clock given.
import { fault } from "@aether/contract";
import type { Clock } from "@aether/kit";
import { z } from "zod";

export const announcementRequest = z.strictObject({
  nodeId: z.string().min(1),
  kind: z.enum(["notice", "rebalance"]),
  /** From now to the reclaim. AWS gives 120. Without meaning for a rebalance recommendation. */
  afterSeconds: z.number().int().min(0).max(86_400).default(120),
});

export interface Announcement {
  readonly nodeId: string;
  readonly kind: "notice" | "rebalance";
  readonly announcedAtMs: number;
  /** The reclaim of a notice; the moment of announcement for a rebalance recommendation. */
  readonly effectiveAtMs: number;
}

export interface Announcements {
  /** Announces, or moves what was announced before. Throws NODE_NOT_FOUND. */
  announce(request: z.output<typeof announcementRequest>): Announcement;
  /** Withdraws all that was announced to the node; how many. Throws NODE_NOT_FOUND. */
  withdraw(nodeId: string): number;
  of(nodeId: string, kind: "notice" | "rebalance"): Announcement | undefined;
  list(): Announcement[];
}

export function createAnnouncements(nodeIds: readonly string[], clock: Clock): Announcements {
  const announced = new Map<string, Announcement>();
  const known = (nodeId: string) => {
    if (!nodeIds.includes(nodeId)) {
      throw fault("NODE_NOT_FOUND", `the local cloud has no node ${JSON.stringify(nodeId)}; it has ${nodeIds.join(", ") || "none"}`, {
        field: "nodeId",
      });
    }
  };
  return {
    announce({ nodeId, kind, afterSeconds }) {
      known(nodeId);
      const announcedAtMs = clock.nowMs();
      const announcement: Announcement = {
        nodeId,
        kind,
        announcedAtMs,
        effectiveAtMs: kind === "notice" ? announcedAtMs + afterSeconds * 1000 : announcedAtMs,
      };
      announced.set(`${nodeId} ${kind}`, announcement);
      return announcement;
    },
    withdraw(nodeId) {
      known(nodeId);
      return [`${nodeId} notice`, `${nodeId} rebalance`].filter((key) => announced.delete(key)).length;
    },
    of: (nodeId, kind) => announced.get(`${nodeId} ${kind}`),
    list: () => [...announced.values()],
  };
}
