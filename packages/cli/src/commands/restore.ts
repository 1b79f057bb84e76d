// aether restore SNAPSHOT
import type { Command } from "commander";
import { action, withCommon } from "../options.ts";

export function registerRestore(program: Command): void {
  withCommon(program.command("restore <snapshot>"))
    .description("start a workload from a snapshot; it must not run")
    .option("--node <node>", "where; by default where there is room")
    .addHelpText("after", "\nExamples:\n  $ aether restore snap-…\n  $ aether restore snap-… --node n2")
    .action(
      action(async ({ core, output, signal }, id: string, options: { node?: string }) => {
        const { SnapshotService } = await import("@aether/contract/gen/aether/v2/snapshot_pb");
        const { WorkloadSchema } = await import("@aether/contract/gen/aether/v2/workload_pb");
        const { toPlain } = await import("../plain.ts");
        const client = (await core()).client(SnapshotService);
        const { workload } = await client.restoreSnapshot({ id, nodeId: options.node ?? "" }, { signal, timeoutMs: 300_000 });
        output.result(
          toPlain(WorkloadSchema, workload ?? {}),
          () => `${workload?.spec?.name} runs on ${workload?.nodeId} at ${workload?.spec?.address}`,
        );
      }),
    );
}
