// What `aether policy set` and `preview` take, as the contract's policy.
import type { PolicySchema } from "@aether/contract/gen/aether/v2/policy_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import { collect, durationMs, durationSeconds, wholeNumber } from "../../options.ts";
import { modes } from "../migrate.ts";

export interface PolicyFlags {
  readonly label: readonly string[];
  readonly rank: string;
  readonly description: string;
  readonly maxFreeze?: number;
  readonly maxTimeToSafe?: number;
  readonly priority?: number;
  readonly onNodeLost?: "hold" | "restore";
  readonly rpo?: number;
  readonly mode?: keyof typeof modes;
  readonly minCpu?: number;
  readonly window: readonly string[];
}

export const withPolicyFlags = (command: Command): Command =>
  command
    .addOption(
      new Option("--label <label>", "NAME=VALUE that a workload must have to be under it; may be repeated")
        .argParser(collect)
        .default([], "every workload"),
    )
    .option("--rank <number>", "of two policies that set the same, the higher one counts; may be negative", "0")
    .option("--description <text>", "why it is there", "")
    .option("--max-freeze <duration>", "objective: clients may wait so long, e.g. 500ms; 0s: none", durationMs)
    .option("--max-time-to-safe <duration>", "objective: from a notice to safe, e.g. 30s; 0s: none", durationMs)
    .option("--priority <number>", "0 to 100; higher ones leave a node first", wholeNumber(0, 100))
    .addOption(
      new Option("--on-node-lost <what>", "hold (a person decides), or restore (the newest snapshot, elsewhere)").choices([
        "hold",
        "restore",
      ]),
    )
    .option("--rpo <duration>", "a snapshot this often, e.g. 5m; 0s: none", durationSeconds)
    .addOption(new Option("--mode <mode>", "of moves that the control plane begins").choices(Object.keys(modes)))
    .option(
      "--min-cpu <percent>",
      "what a move may hold a workload down to while its memory is copied, in percent of one processor; 0: never",
      wholeNumber(0, 10_000),
    )
    .addOption(
      new Option("--window <window>", "moves that nothing forces happen only in it, e.g. fri,sat@22:00-04:00 (UTC); may be repeated")
        .argParser(collect)
        .default([], "always"),
    );

/** Throws INVALID_ARGUMENT. */
export async function policyOf(name: string, flags: PolicyFlags): Promise<MessageInitShape<typeof PolicySchema>> {
  const { fault, parseLabel } = await import("@aether/contract");
  const { OnNodeLost } = await import("@aether/contract/gen/aether/v2/workload_pb");
  const { parseLabels } = await import("../../workload-flags.ts");
  const { parseWindow } = await import("../../window-flag.ts");
  if (!/^-?\d{1,7}$/.test(flags.rank))
    throw fault("INVALID_ARGUMENT", `rank must be a whole number, not ${JSON.stringify(flags.rank.slice(0, 20))}`, { field: "rank" });
  const { maxFreeze, maxTimeToSafe, priority, onNodeLost, rpo, mode, minCpu } = flags;
  return {
    name: parseLabel(name, "name"),
    description: flags.description,
    selector: parseLabels(flags.label),
    rank: Number(flags.rank),
    settings: {
      ...(maxFreeze === undefined ? {} : { maxFreezeMs: maxFreeze }),
      ...(maxTimeToSafe === undefined ? {} : { maxTimeToSafeMs: maxTimeToSafe }),
      ...(priority === undefined ? {} : { priority }),
      ...(onNodeLost === undefined ? {} : { onNodeLost: onNodeLost === "restore" ? OnNodeLost.RESTORE : OnNodeLost.HOLD }),
      ...(rpo === undefined ? {} : { rpoSeconds: rpo }),
      ...(mode === undefined ? {} : { mode: modes[mode] }),
      ...(minCpu === undefined ? {} : { minCpuPercent: minCpu }),
      windows: flags.window.map(parseWindow),
    },
  };
}
