// aether exec NAME -- COMMAND
import type { Command } from "commander";
import { ExitWith } from "../exit-with.ts";
import { action, wholeNumber, withCommon } from "../options.ts";

export function registerExec(program: Command): void {
  withCommon(program.command("exec <name> <command...>"))
    .usage("NAME [options] -- COMMAND [ARG...]")
    .description("run a command inside a workload; its exit code becomes ours")
    .option("--timeout <seconds>", "kill it after this long", wholeNumber(1, 3600), 60)
    .addHelpText("after", "\nExamples:\n  $ aether exec db -- redis-cli dbsize\n  $ aether exec db --timeout 5 -- ls -l /data")
    .action(
      action(async ({ core, output, signal }, name: string, argv: string[], options: { timeout: number }) => {
        const { WorkloadService } = await import("@aether/contract/gen/aether/v2/workload_pb");
        const call = { signal, timeoutMs: (options.timeout + 15) * 1000 };
        const answer = await (await core()).client(WorkloadService).execWorkload({ name, argv, timeoutSeconds: options.timeout }, call);
        if (output.isJson) {
          const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");
          const { exitCode, isTruncated } = answer;
          output.result({ name, exitCode, stdout: text(answer.stdout), stderr: text(answer.stderr), isTruncated }, () => "");
        } else {
          output.stream(answer.stdout);
          output.streamError(answer.stderr);
          if (answer.isTruncated) output.say("(the output was longer; only its end is shown)");
        }
        if (answer.exitCode !== 0) throw new ExitWith(answer.exitCode);
      }),
    );
}
