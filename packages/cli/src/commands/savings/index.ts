/** `aether savings`: what a stateful service costs in a month on spot against on-demand and a savings plan, as a distribution over real months. */
import { resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
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

/** Adds the `savings` command to the program. */
export function registerSavings(program: Command): void {
  program
    .command("savings")
    .description("cost of a month on spot against on-demand and savings plans, on real price series")
    .requiredOption("--traces <dir>", "folder with manifest.csv and the prices it names")
    .option("--region <name>", "only this region")
    .option("--instance-type <name>", "only this type")
    .option("--plan-discount <fraction>", "discount of the savings plan to compare with", fraction, 0.28)
    .option("--interruption-factor <x>", "multiplies the interruptions that the Spot Advisor band implies", atLeastZero, 1)
    .option("--freeze-seconds <s>", "measured freeze of a move", atLeastZero)
    .option("--overlap-seconds <s>", "both instances billed for so long in a move", atLeastZero)
    .option("--json", "print one JSON document")
    .action(
      (options: {
        traces: string;
        region?: string;
        instanceType?: string;
        planDiscount: number;
        interruptionFactor: number;
        freezeSeconds?: number;
        overlapSeconds?: number;
        json?: boolean;
      }) => {
        try {
          const { freezeSeconds, overlapSeconds, region, instanceType } = options;
          const rows = savingsRows(resolve(options.traces), {
            planDiscount: options.planDiscount,
            interruptionFactor: options.interruptionFactor,
            costs: {
              ...(freezeSeconds === undefined ? {} : { freezeSeconds }),
              ...(overlapSeconds === undefined ? {} : { overlapSeconds }),
            },
            ...(region === undefined ? {} : { region }),
            ...(instanceType === undefined ? {} : { instanceType }),
          });
          if (rows.length === 0) throw new Error("no price series covers a whole month for that choice");
          if (options.json) process.stdout.write(`${JSON.stringify({ planDiscount: options.planDiscount, rows }, null, 2)}\n`);
          else {
            process.stdout.write(
              "region          type           months  on-demand/month   worst    p10  median    best  beats plan  moves/month\n",
            );
            for (const r of rows) {
              const percent = (x: number): string => `${(100 * x).toFixed(0)} %`.padStart(6);
              process.stdout.write(
                `${r.region.padEnd(15)} ${r.instanceType.padEnd(14)} ${String(r.months).padStart(6)} ${r.onDemandUsd.toFixed(2).padStart(12)} USD  ${percent(r.worst)} ${percent(r.p10)} ${percent(r.median)}  ${percent(r.best)}      ${percent(r.beatsPlan)}  ${(r.priceMovesPerMonth + r.interruptionsPerMonth).toFixed(1).padStart(11)}\n`,
              );
            }
          }
        } catch (error) {
          process.stderr.write(`savings: ${error instanceof Error ? error.message : String(error)}\n`);
          process.exitCode = 1;
        }
      },
    );
}
