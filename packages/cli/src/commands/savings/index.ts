/** `aether savings`: what spot has saved this fleet; or what a stateful service costs in a month on spot, as a distribution over real months. */
import { resolve } from "node:path";
import { fault } from "@aether/contract";
import type { Command } from "commander";
import { action, atLeastZero, number, wholeNumber, withCommon } from "../../options.ts";
import { MOST_HOURS, readCorePrices } from "../../prices/core-prices.ts";
import { readFilePrices } from "../../prices/file-prices.ts";
import { saySource, sourcesOf } from "../../prices/sources.ts";
import { savingsRows } from "./months.ts";

const fraction = number("a number from 0 to below 1", (value) => value >= 0 && value < 1);

interface SavingsFlags {
  readonly traces?: string;
  readonly months?: boolean;
  readonly hours?: number;
  readonly region?: string;
  readonly instanceType?: string;
  readonly planDiscount: number;
  readonly interruptionFactor: number;
  readonly freezeSeconds?: number;
  readonly overlapSeconds?: number;
}

/** Adds the `savings` command to the program. */
export function registerSavings(program: Command): void {
  withCommon(program.command("savings"))
    .description("what spot has saved this fleet; or what a month on spot costs, over recorded price series")
    .option("--hours <h>", "how far back (720; with --months: all that is kept)", wholeNumber(1, MOST_HOURS))
    .option("--months", "a month on spot against on-demand and savings plans, over the control plane's own price tables")
    .option("--traces <dir>", "the same over a folder with manifest.csv and the prices it names")
    .option("--region <name>", "of a month: only this region")
    .option("--instance-type <name>", "of a month: only this type")
    .option("--plan-discount <fraction>", "of a month: discount of the savings plan to compare with", fraction, 0.28)
    .option("--interruption-factor <x>", "of a month: multiplies the interruptions that the Spot Advisor band implies", atLeastZero, 1)
    .option("--freeze-seconds <s>", "of a month: measured freeze of a move", atLeastZero)
    .option("--overlap-seconds <s>", "of a month: both instances billed for so long in a move", atLeastZero)
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether savings --hours 24\n  $ aether savings --months --instance-type m5.large\n  $ aether savings --traces DIR --region us-east-1",
    )
    .action(
      action(async (context, options: SavingsFlags) => {
        const { freezeSeconds, overlapSeconds, region, instanceType, planDiscount, traces, months, hours } = options;
        if (traces !== undefined && months === true)
          throw fault("INVALID_ARGUMENT", "--traces reads files and --months the control plane: give one of them", { field: "months" });
        if (traces === undefined && months !== true) {
          const { fleetSavings } = await import("./fleet.ts");
          return fleetSavings(context, hours ?? 720);
        }
        const choice = { ...(region === undefined ? {} : { region }), ...(instanceType === undefined ? {} : { instanceType }) };
        const { book, toMs } =
          traces === undefined
            ? await readCorePrices(await context.core(), { hours: hours ?? MOST_HOURS, ...choice }, context.signal)
            : { book: readFilePrices(resolve(traces), choice), toMs: undefined };
        const costs = {
          ...(freezeSeconds === undefined ? {} : { freezeSeconds }),
          ...(overlapSeconds === undefined ? {} : { overlapSeconds }),
        };
        const rows = savingsRows(book, { planDiscount, interruptionFactor: options.interruptionFactor, costs }, toMs);
        if (rows.length === 0)
          throw fault("INVALID_ARGUMENT", "no price series with an on-demand price covers a whole month (730 h) for that choice", {
            hint: "`aether prices` shows what is known; prices.ec2.historyDays says how far back the first fetch reads, prices.onDemandUsdPerHour sets on-demand prices.",
          });
        const sources = sourcesOf(book);
        const { renderTable } = await import("../../render/table.ts");
        const percent = (x: number): string => `${(100 * x).toFixed(0)} %`;
        context.output.result({ planDiscount, rows: rows.map((row) => ({ ...row })), sources }, () =>
          [
            renderTable(
              rows,
              [
                { title: "REGION", cell: (r) => r.region },
                { title: "TYPE", cell: (r) => r.instanceType },
                { title: "MONTHS", align: "right", cell: (r) => String(r.months) },
                { title: "ON-DEMAND A MONTH", align: "right", cell: (r) => `${r.onDemandUsd.toFixed(2)} USD` },
                { title: "WORST", align: "right", cell: (r) => percent(r.worst) },
                { title: "P10", align: "right", cell: (r) => percent(r.p10) },
                { title: "MEDIAN", align: "right", cell: (r) => percent(r.median) },
                { title: "BEST", align: "right", cell: (r) => percent(r.best) },
                { title: "BEATS PLAN", align: "right", cell: (r) => percent(r.beatsPlan) },
                { title: "MOVES A MONTH", align: "right", cell: (r) => (r.priceMovesPerMonth + r.interruptionsPerMonth).toFixed(1) },
              ],
              context.output.width,
              "",
            ),
            ...(traces === undefined ? sources.map(saySource) : []),
          ].join("\n"),
        );
      }),
    );
}
