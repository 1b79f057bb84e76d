// `aether savings` without --traces: what spot has saved this fleet, workload by workload and pool by pool.
import type { Saving } from "@aether/contract/gen/aether/v2/price_pb";
import type { Context } from "../../options.ts";

export async function fleetSavings({ core, output, signal }: Context, hours: number): Promise<void> {
  const { GetSavingsResponseSchema, PriceService } = await import("@aether/contract/gen/aether/v2/price_pb");
  const { toPlain } = await import("../../plain.ts");
  const { renderTable } = await import("../../render/table.ts");
  const { instant } = await import("../../render/units.ts");
  const answer = await (await core()).client(PriceService).getSavings({ hours }, { signal, timeoutMs: 30_000 });
  const usd = (value: number | undefined): string => (value === undefined ? "unknown" : value.toFixed(4));
  const rows: Saving[] = [...(answer.fleet ? [answer.fleet] : []), ...answer.pools, ...answer.workloads];
  output.result(toPlain(GetSavingsResponseSchema, answer), () =>
    [
      `from ${instant(answer.from)} to ${instant(answer.to)}`,
      renderTable(
        rows,
        [
          { title: "SUBJECT", cell: (s) => s.subject },
          { title: "HOURS", align: "right", cell: (s) => s.runningHours.toFixed(1) },
          { title: "PRICED", align: "right", cell: (s) => s.pricedHours.toFixed(1) },
          { title: "SPENT USD", align: "right", cell: (s) => usd(s.spentUsd) },
          { title: "ON-DEMAND USD", align: "right", cell: (s) => usd(s.onDemandUsd) },
          { title: "SAVED USD", align: "right", cell: (s) => usd(s.savedUsd) },
          { title: "MOVES", align: "right", cell: (s) => String(s.migrations) },
        ],
        output.width,
        "Nothing has run yet.",
      ),
      ...(answer.fleet?.unknown ?? []).map((each) => `unknown: ${each}`),
      ...answer.sources.map(({ name, origin, fetchedAt }) => `from ${name}, ${origin}, ${instant(fetchedAt)}`),
    ].join("\n"),
  );
}
