// aether logs NAME
import type { Command } from "commander";
import { action, wholeNumber, withCommon } from "../options.ts";

export function registerLogs(program: Command): void {
  withCommon(program.command("logs <name>"))
    .description("what a workload wrote to stdout and stderr, across its moves")
    .option("-f, --follow", "go on as it writes; Ctrl-C ends")
    .option("--tail <lines>", "begin with the last lines", wholeNumber(1, 1_000_000))
    .addHelpText("after", "\nExamples:\n  $ aether logs db\n  $ aether logs db -f --tail 20")
    .action(
      action(async ({ core, output, signal }, name: string, options: { follow?: boolean; tail?: number }) => {
        const { WorkloadService } = await import("@aether/contract/gen/aether/v2/workload_pb");
        const request = { name, follow: options.follow === true, tailLines: options.tail ?? 0 };
        const chunks: Uint8Array[] = [];
        try {
          for await (const { chunk } of (await core()).client(WorkloadService).readLogs(request, { signal })) {
            if (output.isJson) chunks.push(chunk);
            else output.stream(chunk);
          }
        } catch (caught) {
          if (!signal.aborted) throw caught; // Ctrl-C is how following ends
        }
        if (output.isJson) output.result({ name, text: Buffer.concat(chunks).toString("utf8") }, () => "");
      }),
    );
}
