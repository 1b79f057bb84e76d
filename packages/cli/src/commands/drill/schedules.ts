// aether drill schedule|schedules
import type { Command } from "commander";
import { ifMatch, ifMatchOption, readTagged } from "../../if-match.ts";
import { action, type Context, wholeNumber, withCommon } from "../../options.ts";
import { type DrillKindName, drillKinds, kindOption } from "./kinds.ts";

interface ScheduleFlags {
  readonly kind: DrillKindName;
  readonly node?: string;
  readonly window: number;
  readonly cron?: string;
  readonly every?: number;
  readonly timeZone?: string;
  readonly priceFactor?: number;
}

export function registerSchedules(drill: Command): void {
  withCommon(drill.command("schedules"))
    .description("drills that begin by themselves: when they come due, what became of the last one, how many were missed")
    .addHelpText("after", "\nExamples:\n  $ aether drill schedules")
    .action(action(list));
  const schedule = drill.command("schedule").description("have a drill begin by itself");
  withCommon(schedule.command("create <name>"))
    .description("at times of the clock (--cron), or so often (--every)")
    .addOption(kindOption())
    .option("--node <node>", "by default the one with the most workloads at that time")
    .option("--window <seconds>", "as of aether drill start", wholeNumber(10, 3600), 120)
    .option("--cron <fields>", "minute hour day month weekday")
    .option("--every <seconds>", "from now on", wholeNumber(300, 31_536_000))
    .option("--time-zone <zone>", "of --cron, e.g. Europe/Berlin; by default UTC")
    .option("--price-factor <factor>", "of a price drill: times the last price", Number)
    .addHelpText(
      "after",
      "\nA time that passes while no control plane leads, or moves are paused, is missed and told, not made up for.\n\nExamples:" +
        "\n  $ aether drill schedule create weekly --cron '0 3 * * mon' --time-zone Europe/Berlin" +
        "\n  $ aether drill schedule create hourly-crash --kind crash --node n2 --every 3600",
    )
    .action(
      action(async (context, name: string, flags: ScheduleFlags) => {
        const request = {
          name,
          kind: drillKinds[flags.kind],
          nodeId: flags.node ?? "",
          windowSeconds: flags.window,
          cron: flags.cron ?? "",
          everySeconds: flags.every ?? 0,
          timeZone: flags.timeZone ?? "",
          priceFactor: flags.priceFactor ?? 0,
        };
        await say(
          context,
          (client, call) => client.createDrillSchedule(request, call),
          (next) => `${name}: the next drill begins ${next}`,
        );
      }),
    );
  withCommon(schedule.command("show <name>"))
    .description("one schedule, with the ETag that --if-match takes")
    .addHelpText("after", "\nExamples:\n  $ aether drill schedule show weekly --json")
    .action(action(show));
  withCommon(schedule.command("pause <name>"))
    .description("it begins nothing until it is resumed")
    .addOption(ifMatchOption())
    .addHelpText("after", "\nExamples:\n  $ aether drill schedule pause weekly")
    .action(
      action(async (context, id: string, flags: { ifMatch?: string }) =>
        say(
          context,
          (client, call) => client.pauseDrillSchedule({ id }, { ...call, ...ifMatch(flags.ifMatch) }),
          () => `${id} is paused`,
        ),
      ),
    );
  withCommon(schedule.command("resume <name>"))
    .description("from its next time on")
    .addOption(ifMatchOption())
    .addHelpText("after", "\nExamples:\n  $ aether drill schedule resume weekly")
    .action(
      action(async (context, id: string, flags: { ifMatch?: string }) =>
        say(
          context,
          (client, call) => client.resumeDrillSchedule({ id }, { ...call, ...ifMatch(flags.ifMatch) }),
          (next) => `${id}: the next drill begins ${next}`,
        ),
      ),
    );
  withCommon(schedule.command("delete <name>").alias("rm"))
    .description("its drills stay on record")
    .addOption(ifMatchOption())
    .addHelpText("after", "\nExamples:\n  $ aether drill schedule delete weekly")
    .action(
      action(async ({ core, output, signal }, id: string, flags: { ifMatch?: string }) => {
        const { DrillScheduleService } = await import("@aether/contract/gen/aether/v2/drill_schedule_pb");
        const call = { signal, timeoutMs: 15_000, ...ifMatch(flags.ifMatch) };
        await (await core()).client(DrillScheduleService).deleteDrillSchedule({ id }, call);
        output.result({ deleted: id }, () => `${id} is deleted`);
      }),
    );
}

type Service = typeof import("@aether/contract/gen/aether/v2/drill_schedule_pb").DrillScheduleService;
type Schedule = import("@aether/contract/gen/aether/v2/drill_schedule_pb").DrillSchedule;

async function say(
  { core, output, signal }: Context,
  ask: (
    client: import("@connectrpc/connect").Client<Service>,
    call: { readonly signal: AbortSignal; readonly timeoutMs: number },
  ) => Promise<{ readonly schedule?: Schedule | undefined }>,
  tell: (next: string) => string,
): Promise<void> {
  const { DrillScheduleSchema, DrillScheduleService } = await import("@aether/contract/gen/aether/v2/drill_schedule_pb");
  const { toPlain } = await import("../../plain.ts");
  const { instant } = await import("../../render/units.ts");
  const { schedule } = await ask((await core()).client(DrillScheduleService), { signal, timeoutMs: 15_000 });
  output.result(toPlain(DrillScheduleSchema, schedule ?? {}), () => tell(instant(schedule?.nextAt)));
}

const whenOf = (s: Schedule): string => (s.cron === "" ? `every ${s.everySeconds} s` : `${s.cron} ${s.timeZone}`);

async function show({ core, output, signal }: Context, id: string): Promise<void> {
  const { DrillScheduleSchema, DrillScheduleService } = await import("@aether/contract/gen/aether/v2/drill_schedule_pb");
  const { DrillKind } = await import("@aether/contract/gen/aether/v2/drill_pb");
  const { toPlain } = await import("../../plain.ts");
  const { renderFacts } = await import("../../render/table.ts");
  const { instant, word } = await import("../../render/units.ts");
  const client = (await core()).client(DrillScheduleService);
  const { answer, tag } = await readTagged((tagged) => client.getDrillSchedule({ id }, { signal, timeoutMs: 15_000, ...tagged }));
  const { schedule } = answer;
  output.result({ schedule: toPlain(DrillScheduleSchema, schedule ?? {}), etag: tag }, () =>
    schedule === undefined
      ? ""
      : renderFacts([
          ["schedule", schedule.name],
          ["kind", word(DrillKind, schedule.kind)],
          ["node", schedule.nodeId || "the busiest"],
          ["when", whenOf(schedule)],
          ["next", schedule.isPaused ? "paused" : instant(schedule.nextAt)],
          ["last", schedule.lastDrillId || schedule.lastOutcome],
          ["missed", String(schedule.missedCount)],
          ["by", schedule.createdBy],
          ["etag", tag],
        ]),
  );
}

async function list({ core, output, signal }: Context): Promise<void> {
  const { DrillScheduleService, ListDrillSchedulesResponseSchema } = await import("@aether/contract/gen/aether/v2/drill_schedule_pb");
  const { DrillKind } = await import("@aether/contract/gen/aether/v2/drill_pb");
  const { toPlain } = await import("../../plain.ts");
  const { renderTable } = await import("../../render/table.ts");
  const { instant, word } = await import("../../render/units.ts");
  const { everyPage } = await import("../../pages.ts");
  const client = (await core()).client(DrillScheduleService);
  const schedules: Schedule[] = await everyPage(async (page) => {
    const answer = await client.listDrillSchedules({ page }, { signal, timeoutMs: 15_000 });
    return { items: answer.schedules, nextPageToken: answer.nextPageToken };
  });
  output.result(toPlain(ListDrillSchedulesResponseSchema, { schedules }), () =>
    renderTable(
      schedules,
      [
        { title: "NAME", cell: (s) => s.name },
        { title: "KIND", cell: (s) => word(DrillKind, s.kind) },
        { title: "NODE", cell: (s) => s.nodeId || "busiest" },
        { title: "WHEN", cell: whenOf },
        { title: "NEXT", cell: (s) => (s.isPaused ? "paused" : instant(s.nextAt)) },
        { title: "LAST", cell: (s) => s.lastDrillId || s.lastOutcome || "-" },
        { title: "MISSED", align: "right", cell: (s) => String(s.missedCount) },
      ],
      output.width,
      "No drill begins by itself. Schedule one: aether drill schedule create weekly --cron '0 3 * * mon'",
    ),
  );
}
