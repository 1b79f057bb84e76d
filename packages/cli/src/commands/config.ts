// aether config
import type { Command } from "commander";
import { Argument } from "commander";
import { action, withJson } from "../options.ts";

export function registerConfig(program: Command): void {
  withJson(program.command("config"))
    .description("every value of a daemon's configuration, and where it comes from; exit 1 if the daemon would refuse it")
    .addArgument(new Argument("<daemon>", "whose").choices(["core", "agent"]))
    .option("--config <file>", "YAML, as the daemon would be given it")
    .option("--set", "only what is not a default")
    .addHelpText(
      "after",
      "\nVariables win over the file: AETHER_CORE_HTTP__PORT is http.port of core, AETHER_AGENT_NODE_ID is nodeId of the agent.\n\nExamples:\n  $ aether config core --config /etc/aether/core.yaml\n  $ aether config agent --set --json",
    )
    .action(
      action(async ({ output }, daemon: "core" | "agent", options: { config?: string; set?: boolean }) => {
        const { explainConfig } = await import("@aether/kit");
        const { renderTable } = await import("../render/table.ts");
        const schema = daemon === "core" ? (await import("@aether/core")).coreConfig : (await import("@aether/agent")).agentConfigSchema;
        const all = await explainConfig(schema, { file: options.config, prefix: `AETHER_${daemon.toUpperCase()}` });
        const entries = options.set === true ? all.filter(({ source }) => source !== "default") : all;
        output.result({ daemon, entries: entries.map((entry) => ({ ...entry, value: entry.value ?? null })) }, () =>
          renderTable(
            entries,
            [
              { title: "KEY", cell: ({ key }) => key },
              {
                title: "VALUE",
                cell: ({ value }) => (value === undefined ? "-" : typeof value === "string" ? value : JSON.stringify(value)),
              },
              { title: "FROM", cell: ({ source }) => source },
            ],
            output.width,
            "Everything is a default.",
          ),
        );
      }),
    );
}
