// aether workload [label|set]: what of a running workload can be changed.
import type { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import { ifMatch, readTagged } from "../if-match.ts";
import { action, type Context, durationMs, durationSeconds, wholeNumber, withCommon } from "../options.ts";

interface SetFlags {
  readonly maxFreeze?: number;
  readonly maxTimeToSafe?: number;
  readonly priority?: number;
  readonly onNodeLost?: "hold" | "restore";
  readonly rpo?: number;
}

export function registerWorkload(program: Command): void {
  const workload = program
    .command("workload")
    .description("change a running workload's labels, and what it asks of its evacuation")
    .addHelpText(
      "after",
      "\nIts command, rootfs, volumes and address stay: its node was told them. To change those: aether stop, aether rm, aether run.",
    );
  withCommon(workload.command("label <name> <labels...>"))
    .description("set labels (NAME=VALUE) and take others away (NAME-); policies choose by them from the next decision on")
    .addHelpText("after", "\nExamples:\n  $ aether workload label db tier=database team=payments\n  $ aether workload label db team-")
    .action(
      action(async (context, name: string, words: string[]) => {
        const { parseLabels } = await import("../workload-flags.ts");
        const gone = words.filter((word) => word.endsWith("-") && !word.includes("=")).map((word) => word.slice(0, -1));
        const set = parseLabels(words.filter((word) => word.includes("=") || !word.endsWith("-")));
        await update(context, name, ["labels"], (labels) => {
          const left = Object.entries(labels).filter(([label]) => !gone.includes(label));
          return { labels: { ...Object.fromEntries(left), ...set } };
        });
      }),
    );
  withCommon(workload.command("set <name>"))
    .description("change what the workload asks of its evacuation; flags that are not given stay as they are")
    .option("--max-freeze <duration>", "objective: clients may wait so long, e.g. 500ms; 0s: none", durationMs)
    .option("--max-time-to-safe <duration>", "objective: from a notice to safe, e.g. 30s; 0s: none", durationMs)
    .option("--priority <number>", "0 to 100; higher ones leave a node first", wholeNumber(0, 100))
    .addOption(new Option("--on-node-lost <what>", "hold, or restore the newest snapshot elsewhere").choices(["hold", "restore"]))
    .option("--rpo <duration>", "a snapshot this often, e.g. 5m; 0s: none", durationSeconds)
    .addHelpText("after", "\nExamples:\n  $ aether workload set db --priority 90 --max-freeze 500ms\n  $ aether workload set db --rpo 0s")
    .action(
      action(async (context, name: string, { maxFreeze, maxTimeToSafe, priority, onNodeLost, rpo }: SetFlags) => {
        const { fault } = await import("@aether/contract");
        const { OnNodeLost } = await import("@aether/contract/gen/aether/v2/workload_pb");
        const evacuation = {
          ...(maxFreeze === undefined ? {} : { maxFreezeMs: maxFreeze }),
          ...(maxTimeToSafe === undefined ? {} : { maxTimeToSafeMs: maxTimeToSafe }),
          ...(priority === undefined ? {} : { priority }),
          ...(onNodeLost === undefined ? {} : { onNodeLost: onNodeLost === "restore" ? OnNodeLost.RESTORE : OnNodeLost.HOLD }),
        };
        const inSnakeCase = (text: string) => text.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
        const mask = [
          ...Object.keys(evacuation).map((field) => `evacuation.${inSnakeCase(field)}`),
          ...(rpo === undefined ? [] : ["rpo_seconds"]),
        ];
        if (mask.length === 0)
          throw fault("INVALID_ARGUMENT", "say what to change", { field: "name", hint: "aether workload set --help lists the flags." });
        await update(context, name, mask, () => ({ evacuation, ...(rpo === undefined ? {} : { rpoSeconds: rpo }) }));
      }),
    );
}

/** So often is it read anew when somebody else changed it in between. */
const tries = 4;

/** @param change from the labels as they are now. */
async function update(
  { core, output, signal }: Context,
  name: string,
  paths: string[],
  change: (labels: Readonly<Record<string, string>>) => MessageInitShape<typeof WorkloadSpecSchema>,
): Promise<void> {
  const { Fault } = await import("@aether/contract");
  const { WorkloadSchema, WorkloadService } = await import("@aether/contract/gen/aether/v2/workload_pb");
  const { toPlain } = await import("../plain.ts");
  const client = (await core()).client(WorkloadService);
  const call = { signal, timeoutMs: 15_000 };
  for (let attempt = 1; ; attempt++) {
    const now = await readTagged((tagged) => client.getWorkload({ name }, { ...call, ...tagged }));
    const spec = change(now.answer.workload?.spec?.labels ?? {});
    try {
      const { workload } = await client.updateWorkload({ name, spec, updateMask: { paths } }, { ...call, ...ifMatch(now.tag) });
      const labels = Object.entries(workload?.spec?.labels ?? {}).map(([label, value]) => `${label}=${value}`);
      output.result(toPlain(WorkloadSchema, workload ?? {}), () =>
        paths.includes("labels")
          ? `${name} has ${labels.length === 0 ? "no labels" : labels.sort().join(" ")}; what counts now: aether policy of ${name}`
          : `${name} is changed; what counts now: aether policy of ${name}`,
      );
      return;
    } catch (caught) {
      if (Fault.from(caught).code !== "PRECONDITION_FAILED" || attempt === tries) throw caught;
    }
  }
}
