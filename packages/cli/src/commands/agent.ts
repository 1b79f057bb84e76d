// aether agent
import type { Command } from "commander";

export function registerAgent(program: Command): void {
  program
    .command("agent")
    .description("a node's daemon, until it is stopped; its workloads run on without it")
    .option("--config <file>", "YAML; AETHER_AGENT_… variables win over it")
    .addHelpText("after", "\nExamples:\n  $ sudo aether agent --config /etc/aether/agent.yaml")
    .action(async (options: { config?: string }) => {
      // Becomes the agent's own small process, same pid: this command line and its settings would cost the node 40 MB.
      const { agentEntry, agentNodeFlags } = await import("@aether/agent/start");
      const configArguments = options.config === undefined ? [] : ["--config", options.config];
      process.execve?.(process.execPath, [process.execPath, ...agentNodeFlags, agentEntry, ...configArguments], process.env);
      const { run } = await import("@aether/agent");
      await run({ configFile: options.config });
    });
}
