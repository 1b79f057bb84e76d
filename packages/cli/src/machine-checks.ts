// Which checks belong to which target of `aether doctor`.
import type { Check } from "@aether/kit";

export const targets = ["local", "docker", "agent", "core"] as const;
export type Target = (typeof targets)[number];

/** local: everything that `aether up` needs. agent: a node. docker: a node in a container. core: the control plane alone. */
export async function machineChecks(target: Target): Promise<Check[]> {
  if (target === "core") return [];
  return [];
}
