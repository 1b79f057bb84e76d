// aether retention [set]
import type { Retention, RetentionChange } from "@aether/contract/gen/aether/v2/ops_pb";
import type { Command } from "commander";
import { action, type Context, withCommon } from "../options.ts";

type Name = Exclude<keyof RetentionChange, "$typeName" | "$unknown">;
const names: readonly Name[] = [
  "telemetryFineMinutes",
  "telemetryDays",
  "eventsDays",
  "eventsCount",
  "snapshotsDays",
  "snapshotsEach",
  "snapshotsGigabytes",
  "runbookRunsDays",
];
const flagOf = (name: Name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

export function registerRetention(program: Command): void {
  const retention = withCommon(program.command("retention"))
    .description("how long what is kept, and who said so")
    .addHelpText("after", "\nExamples:\n  $ aether retention\n  $ aether retention set --events-days 30")
    .action(
      action(async ({ core, output, signal }) => {
        const { OpsService } = await import("@aether/contract/gen/aether/v2/ops_pb");
        await show(output, (await (await core()).client(OpsService).getRetention({}, { signal, timeoutMs: 15_000 })).retention);
      }),
    );
  const set = withCommon(retention.command("set")).description(
    "change some of it; counts from the next cut, ten minutes at most, and outlives a restart",
  );
  for (const name of names) set.option(`--${flagOf(name)} <value>`, "as `aether retention` shows its limits", Number);
  set
    .addHelpText(
      "after",
      "\nWhat was removed does not come back. The audit log is never shortened.\n\nExamples:\n  $ aether retention set --events-days 30 --snapshots-gigabytes 500",
    )
    .action(
      action(async ({ core, output, signal }, flags: Partial<Record<Name, number>>) => {
        const { OpsService } = await import("@aether/contract/gen/aether/v2/ops_pb");
        const change = Object.fromEntries(names.flatMap((name) => (flags[name] === undefined ? [] : [[name, flags[name]]])));
        const client = (await core()).client(OpsService);
        await show(output, (await client.updateRetention({ change }, { signal, timeoutMs: 15_000 })).retention);
      }),
    );
}

async function show(output: Context["output"], retention: Retention | undefined): Promise<void> {
  const { RetentionSchema } = await import("@aether/contract/gen/aether/v2/ops_pb");
  const { toPlain } = await import("../plain.ts");
  const { renderTable } = await import("../render/table.ts");
  output.result(toPlain(RetentionSchema, retention ?? {}), () =>
    renderTable(
      retention?.rules ?? [],
      [
        { title: "NAME", cell: ({ name }) => name.replaceAll("_", "-") },
        { title: "KEPT", align: "right", cell: ({ value, unit, isFixed }) => (isFixed ? unit : `${value} ${unit}`) },
        { title: "LIMITS", align: "right", cell: ({ lowest, highest, isFixed }) => (isFixed ? "-" : `${lowest} to ${highest}`) },
        { title: "BY", cell: ({ source, changedBy }) => changedBy || source },
        { title: "WHAT", cell: ({ what }) => what },
      ],
      output.width,
      "",
    ),
  );
}
