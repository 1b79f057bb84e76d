// Which checks belong to which target of `aether doctor`.
import { join } from "node:path";
import type { Check } from "@aether/kit";

export const targets = ["local", "docker", "agent", "core"] as const;
export type Target = (typeof targets)[number];

/**
 * local: everything that `aether up` needs. agent: a node. docker: a node in a container. core: the control plane alone.
 * @param dir of the local cloud, which holds its nodes' state.
 */
export async function machineChecks(target: Target, dir: string): Promise<Check[]> {
  if (target === "core") return [];
  const { machineChecks: agentChecks } = await import("@aether/agent");
  return agentChecks(target === "local" ? { stateDir: join(dir, "nodes"), snapshotDir: join(dir, "snapshots") } : {});
}
