// aether migrations, aether migrations show, aether migrations cancel, aether migrations settle
import type { Migration } from "@aether/contract/gen/aether/v2/migration_pb";
import type { Command } from "commander";
import { action, wholeNumber, withCommon } from "../options.ts";
import { registerSettle } from "./settle.ts";

export function registerMigrations(program: Command): void {
  const migrations = withCommon(program.command("migrations"))
    .description("list moves, the newest first")
    .option("--workload <name>", "only those of this workload")
    .option("--active", "only those that have not ended")
    .option("--limit <count>", "at most so many", wholeNumber(1, 10_000), 50)
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether migrations\n  $ aether migrations --workload db --limit 5 --json\n  $ aether migrations cancel mig-…",
    )
    .action(
      action(async ({ core, output, signal }, options: { workload?: string; active?: boolean; limit: number }) => {
        const { ListMigrationsResponseSchema, MigrationMode, MigrationService, MigrationState } = await import(
          "@aether/contract/gen/aether/v2/migration_pb"
        );
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { ago, duration, word } = await import("../render/units.ts");
        const { everyPage } = await import("../pages.ts");
        const client = (await core()).client(MigrationService);
        const list: Migration[] = await everyPage(async (page) => {
          const request = { page, workload: options.workload ?? "", activeOnly: options.active === true };
          const answer = await client.listMigrations(request, { signal, timeoutMs: 15_000 });
          return { items: answer.migrations, nextPageToken: answer.nextPageToken };
        }, options.limit);
        const nowMs = Date.now();
        output.result(toPlain(ListMigrationsResponseSchema, { migrations: list }), () =>
          renderTable(
            list,
            [
              { title: "ID", cell: (m) => m.id },
              { title: "WORKLOAD", cell: (m) => m.workload },
              { title: "FROM", cell: (m) => m.sourceNodeId },
              { title: "TO", cell: (m) => m.targetNodeId },
              { title: "STATE", cell: (m) => word(MigrationState, m.state) },
              { title: "MODE", cell: (m) => word(MigrationMode, m.mode || m.requestedMode) },
              { title: "FREEZE", align: "right", cell: (m) => (m.receipt ? duration(m.receipt.freezeMs) : "-") },
              { title: "WHOLE", cell: (m) => (m.receipt ? (m.receipt.isWhole ? "yes" : "NO") : "-") },
              { title: "BEGUN", cell: (m) => ago(m.createdAt, nowMs) },
              { title: "", cell: (m) => m.error?.code ?? "" },
            ],
            output.width,
            "Nothing was moved yet. Move a workload: aether migrate NAME",
          ),
        );
      }),
    );
  withCommon(migrations.command("show <id>"))
    .description("one move: why it was begun, the targets that were looked at, and its phases")
    .addHelpText("after", "\nExamples:\n  $ aether migrations show mig-…")
    .action(
      action(async ({ core, output, signal }, id: string) => {
        const { MigrationSchema, MigrationService } = await import("@aether/contract/gen/aether/v2/migration_pb");
        const { toPlain } = await import("../plain.ts");
        const { describeMigration } = await import("../render/migration.ts");
        const { migration } = await (await core()).client(MigrationService).getMigration({ id }, { signal, timeoutMs: 15_000 });
        output.result(toPlain(MigrationSchema, migration ?? {}), () => (migration === undefined ? "" : describeMigration(migration)));
      }),
    );
  registerSettle(migrations);
  withCommon(migrations.command("cancel <id>"))
    .description("roll a move back, if its commit is not made yet")
    .addHelpText("after", "\nExamples:\n  $ aether migrations cancel mig-…")
    .action(
      action(async ({ core, output, signal }, id: string) => {
        const { MigrationSchema, MigrationService } = await import("@aether/contract/gen/aether/v2/migration_pb");
        const { toPlain } = await import("../plain.ts");
        const answer = await (await core()).client(MigrationService).cancelMigration({ id }, { signal, timeoutMs: 30_000 });
        output.result(toPlain(MigrationSchema, answer.migration ?? {}), () => `${id} is rolled back; the workload stays where it was`);
      }),
    );
}
