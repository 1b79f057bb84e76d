// aether migrate NAME
import type { Migration } from "@aether/contract/gen/aether/v2/migration_pb";
import { type Command, Option } from "commander";
import { ExitWith } from "../exit-with.ts";
import { action, withCommon } from "../options.ts";

/** As the user writes it, and its number in the contract. */
export const modes = { auto: 1, "pre-copy": 2, "post-copy": 3, "stop-and-copy": 4 } as const;

export function registerMigrate(program: Command): void {
  withCommon(program.command("migrate <name>"))
    .description("move a running workload to another node; its clients see a pause")
    .option("--to <node>", "the target; by default the best one")
    .addOption(new Option("--mode <mode>", "how its memory travels").choices(Object.keys(modes)).default("auto"))
    .addHelpText("after", "\nExamples:\n  $ aether migrate db\n  $ aether migrate db --to n2 --mode post-copy --json")
    .action(
      action(async ({ core, output, signal }, name: string, options: { to?: string; mode: keyof typeof modes }) => {
        const { MigrationSchema, MigrationService, MigrationState } = await import("@aether/contract/gen/aether/v2/migration_pb");
        const { toPlain } = await import("../plain.ts");
        const { describeMigration } = await import("../render/describe.ts");
        const { createPhasePrinter } = await import("../render/phases.ts");
        const client = (await core()).client(MigrationService);
        const request = { workload: name, targetNodeId: options.to ?? "", mode: modes[options.mode] };
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
          output.say(`it goes on without us; follow it: aether inspect ${name}, or cancel it: aether migrations cancel ${migration?.id}`);
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
