/** The recorded pools that the hazard model is trained and tested on: single instances with a known date. */
import { type RecordedPool, type Row, rowsOf } from "@aether/risk";
import { pairOf, readGroup, readTable } from "./traces.ts";

interface Source {
  readonly group: string;
  /** False where the source wrote local times with a literal Z. */
  readonly hasKnownClock: boolean;
  /** Capacity that counts as up, where the set asked for several instances. */
  readonly instances?: number;
  readonly onDemandUsdPerHour?: number;
}

const SOURCES: readonly Source[] = [
  { group: "tod-aws-2020-03-15", hasKnownClock: false },
  { group: "tod-gcp-2020-03-01", hasKnownClock: false },
  { group: "tod-gcp-2020-03-04", hasKnownClock: false },
  { group: "aws-2022-10-26-full", hasKnownClock: false },
  { group: "aws-2022-11-28", hasKnownClock: false },
  { group: "aws-2022-12-13", hasKnownClock: false },
  { group: "aws-2023-02-15", hasKnownClock: true, onDemandUsdPerHour: 3.06 },
  { group: "aws-2023-04-19-preempt", hasKnownClock: true, onDemandUsdPerHour: 4.032 },
  { group: "aws-2023-04-22-preempt", hasKnownClock: true, onDemandUsdPerHour: 3.06 },
  { group: "gcp-2023-04-30-preempt", hasKnownClock: true },
  { group: "gcp-2025-10-04-h100x16", hasKnownClock: true, instances: 1 },
];

export function readRows(dir: string): Row[] {
  const starts = new Map(
    readTable(dir, "manifest.csv")
      .filter((row) => row.kind === "availability")
      .map((row) => [`${row.group} ${pairOf(row.file ?? "")}`, row.start_utc ?? ""]),
  );
  return SOURCES.flatMap((source) => {
    const traces = readGroup(dir, source.group, {
      withPrices: source.onDemandUsdPerHour !== undefined,
      ...(source.instances ? { instances: source.instances } : {}),
    });
    const pools: RecordedPool[] = traces.map((trace) => {
      const start = Date.parse(starts.get(`${source.group} ${trace.pair}`) ?? "") / 1000;
      if (!Number.isFinite(start)) throw new Error(`${source.group} ${trace.pair} has no start`);
      return {
        group: source.group,
        trace,
        startSeconds: start,
        hasKnownClock: source.hasKnownClock,
        ...(source.onDemandUsdPerHour ? { onDemandUsdPerHour: source.onDemandUsdPerHour } : {}),
      };
    });
    return rowsOf(pools);
  });
}
