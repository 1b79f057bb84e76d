/**
 * Draws the plots of docs/concepts/risk.md and docs/benchmarks/savings.md from fresh results.
 * Run (about a minute): node --conditions=@source bench/risk/plots.ts
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createAetherPolicy, greedyPolicy, type Job, type Policy, quantile, simulate, uniformProgressPolicy } from "@aether/risk";
import { savingsRows } from "../../packages/cli/src/commands/savings/months.ts";
import { readFilePrices } from "../../packages/cli/src/prices/file-prices.ts";
import { drawPlot } from "./plot.ts";
import { findTraces, readGroup, readTable, readText } from "./traces.ts";

const dir = findTraces();
if (dir === undefined) {
  console.error("no traces: set AETHER_TRACES or place the bundle at ../shared/data/traces");
  process.exit(3);
}
const docs = resolve(import.meta.dirname, "../../docs");
const HOUR = 3600;

/** The deadlines of the reference: job fractions 0.95 to 0.6 of 48 h, and 52, 70 and 92 h. */
const DEADLINES = [48 / 0.95, 52, 48 / 0.9, 48 / 0.85, 60, 64, 48 / 0.7, 70, 80, 92];

function costByDeadline(traces: string): void {
  const starts = (JSON.parse(readText(traces, "oracle/windows_2022-10-26.starts.json")) as { starts: number[] }).starts;
  const group = readGroup(traces, "aws-2022-10-26-full");
  const means = (policy: Policy): [number, number][] =>
    DEADLINES.map((hours) => {
      const job: Job = {
        workSeconds: 48 * HOUR,
        deadlineSeconds: hours * HOUR,
        changeoverSeconds: 720,
        gapSeconds: 600,
        onDemandUsdPerHour: 3.06,
        spotUsdPerHour: 0.9731,
      };
      const costs = group.flatMap((trace) => starts.map((start) => simulate(trace, start, job, policy).costUsd));
      return [hours, costs.reduce((a, b) => a + b, 0) / costs.length];
    });
  const reference = readTable(traces, "oracle/windows_2022-10-26.csv.gz").filter((row) => row.policy === "omniscient" && row.d_h === "0.2");
  const floor = [52, 60, 70, 92].map((hours): [number, number] => {
    const costs = reference.filter((row) => Number(row.deadline_h) === hours).map((row) => Number(row.cost_usd));
    return [hours, costs.reduce((a, b) => a + b, 0) / costs.length];
  });
  writeFileSync(
    join(docs, "concepts/risk/cost-by-deadline.svg"),
    drawPlot({
      title: "Mean cost of a 48 h job, six pools, 300 windows each (d = 0.2 h)",
      xLabel: "deadline, hours",
      yLabel: "USD",
      x: [49, 93],
      y: [80, 150],
      xTicks: [52, 60, 70, 80, 92],
      yTicks: [80, 90, 100, 110, 120, 130, 140, 150],
      legend: "right",
      series: [
        { name: "greedy", colour: "#9aa5b1", points: means(greedyPolicy) },
        { name: "uniform progress", colour: "#d9822b", points: means(uniformProgressPolicy) },
        { name: "aether", colour: "#2b6cb0", points: means(createAetherPolicy()) },
        { name: "perfect foresight", colour: "#2f855a", points: floor, isDashed: true },
      ],
    }),
  );
}

interface TrainingReport {
  readonly tables: readonly {
    readonly set: string;
    readonly horizonSeconds: number;
    readonly way: string;
    readonly reliability?: readonly { readonly meanProbability: number; readonly observed: number }[];
  }[];
}

function reliabilityDiagram(): void {
  const scratch = mkdtempSync(join(tmpdir(), "aether-plots-"));
  try {
    const file = join(scratch, "report.json");
    execFileSync(
      process.execPath,
      ["--conditions=@source", resolve(import.meta.dirname, "train-hazard-model.ts"), "--seed", "1", "--report", file],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    const report = JSON.parse(readFileSync(file, "utf8")) as TrainingReport;
    const points = (horizonSeconds: number): [number, number][] =>
      (
        report.tables.find((t) => t.set === "all later rows" && t.horizonSeconds === horizonSeconds && t.way === "hazard model")
          ?.reliability ?? []
      ).map((bin) => [bin.meanProbability, bin.observed]);
    writeFileSync(
      join(docs, "concepts/risk/reliability.svg"),
      drawPlot({
        title: "Predicted against observed, on pools after 15 March 2023",
        xLabel: "predicted probability of interruption (ten equal groups)",
        yLabel: "share interrupted",
        x: [0, 1],
        y: [0, 1],
        xTicks: [0, 0.2, 0.4, 0.6, 0.8, 1],
        yTicks: [0, 0.2, 0.4, 0.6, 0.8, 1],
        legend: "left",
        series: [
          {
            name: "perfect",
            colour: "#9aa5b1",
            isDashed: true,
            points: [
              [0, 0],
              [1, 1],
            ],
          },
          { name: "10 min", colour: "#2b6cb0", points: points(600) },
          { name: "1 h", colour: "#d9822b", points: points(3600) },
          { name: "6 h", colour: "#2f855a", points: points(21_600) },
          { name: "24 h", colour: "#805ad5", points: points(86_400) },
        ],
      }),
    );
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function savingsPlot(traces: string): void {
  const curve = (interruptionFactor: number): [number, number][] => {
    const medians = savingsRows(readFilePrices(traces, {}), { planDiscount: 0.28, interruptionFactor }).map((row) => row.median);
    return Array.from({ length: 21 }, (_, i) => [i * 5, 100 * quantile(medians, i / 20)]);
  };
  writeFileSync(
    join(docs, "benchmarks/savings/distribution.svg"),
    drawPlot({
      title: "Saving of the middle month, over types and regions",
      xLabel: "share of type and region pairs, per cent",
      yLabel: "saving against on-demand, per cent",
      x: [0, 100],
      y: [0, 100],
      xTicks: [0, 20, 40, 60, 80, 100],
      yTicks: [0, 20, 40, 60, 80, 100],
      legend: "left",
      series: [
        { name: "advisor's rate", colour: "#2b6cb0", points: curve(1) },
        { name: "a hundred times", colour: "#d9822b", points: curve(100) },
        {
          name: "plan at 28 %",
          colour: "#9aa5b1",
          isDashed: true,
          points: [
            [0, 28],
            [100, 28],
          ],
        },
      ],
    }),
  );
}

costByDeadline(dir);
reliabilityDiagram();
savingsPlot(dir);
