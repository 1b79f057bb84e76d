// aether up
import { type Command, Option } from "commander";
import { action, type Context, wholeNumber, withJson } from "../options.ts";

export interface UpFlags {
  readonly nodes: number;
  readonly port: number;
  readonly demo: boolean;
  readonly detach?: boolean;
  readonly reclaim: "keep" | "kill";
  readonly prefix: string;
  readonly subnet: string;
}

export function registerUp(program: Command): void {
  withJson(program.command("up"))
    .description("a whole cloud on this machine: core, nodes, metadata services, a workload to watch")
    .option("--nodes <count>", "how many nodes", wholeNumber(0, 16), 2)
    .option("--dir <dir>", "where it keeps everything (AETHER_DIR; by default ~/.local/state/aether)")
    .option("--port <port>", "of the page and the API, on 127.0.0.1", wholeNumber(1, 65_535), 3000)
    .option("--no-demo", "without the demo's workload and client")
    .option("--detach", "return when it is ready; `aether down` stops it")
    .addOption(
      new Option("--reclaim <what>", "what happens at an announced reclaim time: nothing, or the node is killed")
        .choices(["keep", "kill"])
        .default("keep"),
    )
    .addOption(new Option("--prefix <prefix>", "of names on the machine").default("ae").hideHelp())
    .addOption(new Option("--subnet <subnet>", "A.B.0.0/16").default("10.77.0.0/16").hideHelp())
    .addHelpText(
      "after",
      `
Without root or without what a node needs, core and its page start alone and say what is missing; nothing is simulated.

Examples:
  $ aether up
  $ aether up --nodes 3 --detach
  $ aether up --port 8080 --no-demo --dir /tmp/cloud`,
    )
    .action(
      action(async (context: Context, flags: UpFlags) => {
        const { up } = await import("../up/up.ts");
        await up(context, flags);
      }),
    );
}
