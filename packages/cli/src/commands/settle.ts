// aether migrations settle MIGRATION --keep source|target
import { type Command, Option } from "commander";
import { ExitWith } from "../exit-with.ts";
import { action, withCommon } from "../options.ts";

/** @param migrations the command that it belongs to. */
export function registerSettle(migrations: Command): void {
  withCommon(migrations.command("settle <id>"))
    .description("end a move that needs a person: one copy goes on, the other is destroyed")
    .addOption(new Option("--keep <side>", "whose copy goes on").choices(["source", "target"]).makeOptionMandatory())
    .option("--other-node-is-dead", "the other node is terminated for good: nothing can run there, and it need not confirm")
    .option("--yes", "do it; without this it is only said what would be done and what that costs")
    .addHelpText(
      "after",
      "\nThe copy that is given up is gone before the other may run: at most one instance runs at any moment." +
        "\n\nExamples:\n  $ aether migrations settle mig-… --keep target          # what would that mean?" +
        "\n  $ aether migrations settle mig-… --keep target --yes" +
        "\n  $ aether migrations settle mig-… --keep source --other-node-is-dead --yes",
    )
    .action(
      action(
        async ({ core, output, signal }, id: string, options: { keep: "source" | "target"; otherNodeIsDead?: boolean; yes?: boolean }) => {
          const { Keep, MigrationService, SettleMigrationResponseSchema } = await import("@aether/contract/gen/aether/v2/migration_pb");
          const { toPlain } = await import("../plain.ts");
          const client = (await core()).client(MigrationService);
          const preview = options.yes !== true;
          const keep = options.keep === "source" ? Keep.SOURCE : Keep.TARGET;
          const request = { id, keep, preview, otherNodeIsDead: options.otherNodeIsDead === true };
          const answer = await client.settleMigration(request, { signal, timeoutMs: preview ? 15_000 : 300_000 });
          const means = answer.consequences.map((each) => `  - ${each}`).join("\n");
          const workload = answer.migration?.workload ?? "the workload";
          output.result(toPlain(SettleMigrationResponseSchema, answer), () =>
            preview
              ? `Keeping the ${options.keep}'s copy of ${workload} means:\n${means}\nNothing was changed. Do it: add --yes`
              : `${workload} goes on on the ${options.keep}'s node; the move is settled`,
          );
          if (preview) throw new ExitWith(4);
        },
      ),
    );
}
