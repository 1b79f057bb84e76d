export { type Container, type ContainerVerdict, containerVerdicts } from "@aether/engine";
export { type RunOptions, run } from "./agent.ts";
export { type AgentConfig, agentConfigSchema } from "./config.ts";
export { type MachineCheckConfig, machineChecks } from "./doctor/machine-checks.ts";
