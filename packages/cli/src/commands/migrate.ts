// aether migrate NAME
import type { Migration } from "@aether/contract/gen/aether/v2/migration_pb";
import { type Command, Option } from "commander";
import { ExitWith } from "../exit-with.ts";
import { action, durationMs, withCommon } from "../options.ts";

/** As the user writes it, and its number in the contract. */
export const modes = { auto: 1, "pre-copy": 2, "post-copy": 3, "stop-and-copy": 4 } as const;

interface MigrateFlags {
  readonly to?: string;
  readonly mode: keyof typeof modes;
  readonly within?: number;
  readonly dryRun: boolean;
}

export function registerMigrate(program: Command): void {
  withCommon(program.command("migrate <name>"))
    .description("move a running workload to another node; its clients see a pause")
    .option("--to <node>", "the target; by default the best one")
    .addOption(new Option("--mode <mode>", "how its memory travels").choices(Object.keys(modes)).default("auto"))
    .option(
      "--within <duration>",
      "its freeze must begin within this time, e.g. 60s; a mode that cannot is refused before anything begins",
      durationMs,
    )
    .option("--dry-run", "only ask its node: which mode, what it would cost, what stands in the way; nothing is changed", false)
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether migrate db\n  $ aether migrate db --to n2 --mode post-copy --json\n  $ aether migrate db --mode pre-copy --within 60s --dry-run",
    )
    .action(
      action(async ({ core, output, signal }, name: string, options: MigrateFlags) => {
        const { MigrationSchema, MigrationService, MigrationState, PreflightReportSchema } = await import(
          "@aether/contract/gen/aether/v2/migration_pb"
        );
        const { toPlain } = await import("../plain.ts");
        const { describeMigration } = await import("../render/describe.ts");
        const { createPhasePrinter } = await import("../render/phases.ts");
        const client = (await core()).client(MigrationService);
        const request = {
          workload: name,
          targetNodeId: options.to ?? "",
          mode: modes[options.mode],
          withinSeconds: Math.ceil((options.within ?? 0) / 1000),
        };
        if (options.dryRun) {
          const { report } = await client.preflightWorkload(request, { signal, timeoutMs: 30_000 });
          const { describePreflight } = await import("../render/describe.ts");
          output.result(toPlain(PreflightReportSchema, report ?? {}), () => (report ? describePreflight(report) : ""));
          if (report?.blockers.length) throw new ExitWith(report.blockers.every(({ subject }) => subject === "mode") ? 2 : 4);
          return;
        }
        let migration: Migration | undefined = (await client.startMigration(request, { signal, timeoutMs: 30_000 })).migration;
        const print = createPhasePrinter(output.say);
        try {
          for await (const answer of client.watchMigration({ id: migration?.id ?? "" }, { signal })) {
            if (answer.migration === undefined) continue;
            migration = answer.migration;
            print(migration);
          }
        } catch (caught) {
          if (!signal.aborted) throw caught;
          output.say(
            `it goes on without us; see it: aether migrations show ${migration?.id}, or cancel it: aether migrations cancel ${migration?.id}`,
          );
          throw new ExitWith(1);
        }
        output.result(toPlain(MigrationSchema, migration ?? {}), () => (migration ? describeMigration(migration) : ""));
        if (migration?.state !== MigrationState.DONE) {
          if (migration?.error) output.say(`error: ${migration.error.message}\nhint: ${migration.error.hint}`);
          throw new ExitWith(await exitCodeOfError(migration?.error?.code));
        }
      }),
    );
}

/** A move that was refused by a rule ends with 4, as if it had been refused at once. */
async function exitCodeOfError(code: string | undefined): Promise<number> {
  const { fault, isFaultCode } = await import("@aether/contract");
  const { exitCodeOf } = await import("../exit-code.ts");
  return code !== undefined && isFaultCode(code) ? exitCodeOf(fault(code)) : 1;
}
