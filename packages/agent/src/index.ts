export { type RunOptions, run } from "./agent.ts";
export { type AgentConfig, agentConfigSchema } from "./config.ts";
