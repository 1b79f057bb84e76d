// The agent's part of `aether doctor`: is this machine fit to run and move workloads?
import type { Check } from "@aether/kit";
import { type AgentConfig, findTools } from "../config.ts";
import { holdChecks } from "./hold-checks.ts";
import { kernelChecks } from "./kernel-checks.ts";
import { placeChecks } from "./place-checks.ts";
import { toolChecks } from "./tool-checks.ts";

/** What of the configuration the checks look at; the defaults of an agent where nothing is given. */
export type MachineCheckConfig = Partial<Pick<AgentConfig, "stateDir" | "snapshotDir" | "tools">>;

/** Every check of this machine, in the order in which a person would mend things. Finds the tools as the agent would. */
export async function machineChecks(config: MachineCheckConfig = {}): Promise<Check[]> {
  const tools = await findTools(config.tools ?? {});
  const stateDir = config.stateDir ?? "/var/lib/aether/agent";
  const snapshotDir = config.snapshotDir ?? "/var/lib/aether/snapshots";
  return [...kernelChecks, ...toolChecks(tools), ...holdChecks(tools), ...placeChecks({ stateDir, snapshotDir })];
}
