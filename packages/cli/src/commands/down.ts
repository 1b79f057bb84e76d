// aether down
import { type Command, Option } from "commander";
import { action, withJson } from "../options.ts";

export function registerDown(program: Command): void {
  withJson(program.command("down"))
    .description("stop the local cloud and leave nothing behind but its logs; also after a kill -9")
    .option("--dir <dir>", "the cloud's directory (AETHER_DIR)")
    .addOption(new Option("--prefix <prefix>", "of a cloud whose record is lost").default("ae").hideHelp())
    .addHelpText("after", "\nExamples:\n  $ aether down\n  $ aether down --dir /tmp/cloud")
    .action(
      action(async ({ output, dir }, flags: { prefix: string }) => {
        const { closeCloud } = await import("@aether/lab");
        const directory = await dir();
        const closed = await closeCloud({ dir: directory, prefix: flags.prefix, say: output.say });
        output.result({ dir: directory, ...closed }, () => {
          if (closed.otherDir !== undefined)
            return `nothing runs in ${directory}; a cloud runs in ${closed.otherDir}: aether down --dir ${closed.otherDir}`;
          if (!closed.wasThere) return `nothing runs in ${directory}`;
          const left = closed.removed.length > 0 ? ` (removed: ${closed.removed.join(", ")})` : "";
          return `the cloud is gone${left}; its logs are in ${directory}/logs`;
        });
      }),
    );
}
