// aether stop, aether rm
import type { Command } from "commander";
import { action, wholeNumber, withCommon } from "../options.ts";

export function registerStop(program: Command): void {
  withCommon(program.command("stop <name>"))
    .description("end a workload's processes; its definition and files stay")
    .option("--grace <seconds>", "from SIGTERM to SIGKILL", wholeNumber(1, 3600), 10)
    .addHelpText("after", "\nExamples:\n  $ aether stop db\n  $ aether stop db --grace 60")
    .action(
      action(async ({ core, output, signal }, name: string, options: { grace: number }) => {
        const { WorkloadSchema, WorkloadService } = await import("@aether/contract/gen/aether/v2/workload_pb");
        const { toPlain } = await import("../plain.ts");
        const call = { signal, timeoutMs: (options.grace + 30) * 1000 };
        const answer = await (await core()).client(WorkloadService).stopWorkload({ name, graceSeconds: options.grace }, call);
        output.result(toPlain(WorkloadSchema, answer.workload ?? {}), () => `${name} is stopped; remove it: aether rm ${name}`);
      }),
    );
  withCommon(program.command("rm <name>"))
    .description("remove a stopped workload with its writable files; snapshots stay")
    .option("--force", "also when it runs: stops it first")
    .addHelpText("after", "\nExamples:\n  $ aether rm db\n  $ aether rm db --force")
    .action(
      action(async ({ core, output, signal }, name: string, options: { force?: boolean }) => {
        const { WorkloadService } = await import("@aether/contract/gen/aether/v2/workload_pb");
        const call = { signal, timeoutMs: 60_000 };
        await (await core()).client(WorkloadService).removeWorkload({ name, force: options.force === true }, call);
        output.result({ name, isRemoved: true }, () => `${name} is removed`);
      }),
    );
}
