// aether agent
import type { Command } from "commander";

export function registerAgent(program: Command): void {
  program
    .command("agent")
    .description("a node's daemon, until it is stopped; its workloads run on without it")
    .option("--config <file>", "YAML; AETHER_AGENT_… variables win over it")
    .addHelpText("after", "\nExamples:\n  $ sudo aether agent --config /etc/aether/agent.yaml")
    .action(async (options: { config?: string }) => {
      const { run } = await import("@aether/agent");
      await run({ configFile: options.config });
    });
}
