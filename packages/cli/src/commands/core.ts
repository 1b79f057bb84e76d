// aether core
import type { Command } from "commander";

export function registerCore(program: Command): void {
  program
    .command("core")
    .description("the control plane, until it is stopped")
    .option("--config <file>", "YAML; AETHER_CORE_… variables win over it")
    .addHelpText("after", "\nExamples:\n  $ aether core --config /etc/aether/core.yaml")
    .action(async (options: { config?: string }) => {
      const { run } = await import("@aether/core");
      await run({ configFile: options.config });
    });
}
