/** `aether savings`: what spot has saved this fleet; or what a stateful service costs in a month on spot, as a distribution over real months. */
import { resolve } from "node:path";
import { fault } from "@aether/contract";
import { type Command, InvalidArgumentError } from "commander";
import { action, wholeNumber, withCommon } from "../../options.ts";
import { savingsRows } from "./read.ts";

function fraction(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value < 1)) throw new InvalidArgumentError("must be a number from 0 to below 1");
  return value;
}
function atLeastZero(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && Number.isFinite(value))) throw new InvalidArgumentError("must be a number of 0 or more");
  return value;
}

interface SavingsFlags {
  readonly traces?: string;
  readonly hours: number;
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
    .description("what spot has saved this fleet; or, with --traces, a month on real price series")
    .option("--hours <h>", "the fleet: how far back", wholeNumber(1, 9600), 720)
    .option("--traces <dir>", "folder with manifest.csv and the prices it names: a month on spot against on-demand and savings plans")
    .option("--region <name>", "with --traces: only this region")
    .option("--instance-type <name>", "with --traces: only this type")
    .option("--plan-discount <fraction>", "with --traces: discount of the savings plan to compare with", fraction, 0.28)
    .option("--interruption-factor <x>", "with --traces: multiplies the interruptions that the Spot Advisor band implies", atLeastZero, 1)
    .option("--freeze-seconds <s>", "with --traces: measured freeze of a move", atLeastZero)
    .option("--overlap-seconds <s>", "with --traces: both instances billed for so long in a move", atLeastZero)
    .addHelpText("after", "\nExamples:\n  $ aether savings --hours 24\n  $ aether savings --traces DIR --region us-east-1")
    .action(
      action(async (context, options: SavingsFlags) => {
        if (options.traces === undefined) {
          const { fleetSavings } = await import("./fleet.ts");
          return fleetSavings(context, options.hours);
        }
        const { freezeSeconds, overlapSeconds, region, instanceType, planDiscount } = options;
        const rows = savingsRows(resolve(options.traces), {
          planDiscount,
          interruptionFactor: options.interruptionFactor,
          costs: {
            ...(freezeSeconds === undefined ? {} : { freezeSeconds }),
            ...(overlapSeconds === undefined ? {} : { overlapSeconds }),
          },
          ...(region === undefined ? {} : { region }),
          ...(instanceType === undefined ? {} : { instanceType }),
        });
        if (rows.length === 0) throw fault("INVALID_ARGUMENT", "no price series covers a whole month for that choice");
        const { renderTable } = await import("../../render/table.ts");
        const percent = (x: number): string => `${(100 * x).toFixed(0)} %`;
        context.output.result({ planDiscount, rows: rows.map((row) => ({ ...row })) }, () =>
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
        );
      }),
    );
}
