// aether receipt MIGRATION
import type { Command } from "commander";
import { action, withCommon } from "../options.ts";

export function registerReceipt(program: Command): void {
  withCommon(program.command("receipt <migration>"))
    .description("what both nodes measured of a move: digests, pause, packets, resets")
    .addHelpText("after", "\nExamples:\n  $ aether receipt mig-…\n  $ aether receipt mig-… --json")
    .action(
      action(async ({ core, output, signal }, id: string) => {
        const { MigrationService, ReceiptSchema } = await import("@aether/contract/gen/aether/v2/migration_pb");
        const { toPlain } = await import("../plain.ts");
        const { describeReceipt } = await import("../render/describe.ts");
        const answer = await (await core()).client(MigrationService).getReceipt({ id }, { signal, timeoutMs: 15_000 });
        output.result(toPlain(ReceiptSchema, answer.receipt ?? {}), () => (answer.receipt ? describeReceipt(answer.receipt) : ""));
      }),
    );
}
