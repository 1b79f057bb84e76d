// aether prices, aether feeds
import type { Command } from "commander";
import { action, withCommon } from "../options.ts";

const dollars = (usd: number | undefined): string => (usd === undefined ? "unknown" : `${usd} USD`);

export function registerPrices(program: Command): void {
  withCommon(program.command("prices [pool]"))
    .description("what each pool costs and where the numbers come from; or one pool's price history")
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether prices\n  $ aether prices pool/us-east-1/us-east-1a/m5.large\n\nNothing is fetched unless `prices` is configured: docs/concepts/risk.md#prices-and-feeds",
    )
    .action(
      action(async ({ core, output, signal }, pool: string | undefined) => {
        const { GetPriceHistoryResponseSchema, ListPoolsResponseSchema, PriceService } = await import(
          "@aether/contract/gen/aether/v2/price_pb"
        );
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { ago, instant } = await import("../render/units.ts");
        const client = (await core()).client(PriceService);
        const call = { signal, timeoutMs: 15_000 };
        if (pool !== undefined) {
          const history = await client.getPriceHistory({ pool }, call);
          return output.result(toPlain(GetPriceHistoryResponseSchema, history), () =>
            [
              renderTable(
                history.points,
                [
                  { title: "SINCE", cell: (p) => instant(p.at) },
                  { title: "SPOT AN HOUR", align: "right", cell: (p) => `${p.spotUsdPerHour} USD` },
                ],
                output.width,
                `No spot price of ${pool} is known.`,
              ),
              `on-demand: ${dollars(history.onDemandUsdPerHour)}`,
              ...history.sources.map(({ name, origin, fetchedAt }) => `from ${name}, ${origin}, ${instant(fetchedAt)}`),
            ].join("\n"),
          );
        }
        const answer = await client.listPools({}, call);
        const nowMs = Date.now();
        output.result(toPlain(ListPoolsResponseSchema, answer), () =>
          [
            renderTable(
              answer.pools,
              [
                { title: "POOL", cell: (p) => p.name },
                { title: "SPOT", align: "right", cell: (p) => dollars(p.spotUsdPerHour) },
                { title: "ON-DEMAND", align: "right", cell: (p) => dollars(p.onDemandUsdPerHour) },
                { title: "SCORE", align: "right", cell: (p) => (p.placementScore === undefined ? "-" : String(p.placementScore)) },
                { title: "ADVISOR", cell: (p) => ["<5 %", "5-10 %", "10-15 %", "15-20 %", ">20 %"][p.advisorBand ?? -1] ?? "-" },
                { title: "NODES", cell: (p) => p.nodes.join(" ") || "-" },
              ],
              output.width,
              "No pool is known: no node says its region, zone and type, and no price was fetched.",
            ),
            ...(answer.fetches.length === 0 ? ["Nothing is fetched: `prices` is not configured."] : []),
            ...answer.fetches.map(
              (each) => `${each.name}: ${each.state}, last ${ago(each.lastSuccessAt, nowMs)}${each.error === "" ? "" : `; ${each.error}`}`,
            ),
          ].join("\n"),
        );
      }),
    );
  withCommon(program.command("feeds"))
    .description("provider status feeds: health, and the incidents that they tell of")
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether feeds\n  $ aether feeds --json\n\nNothing is fetched unless feeds.sources are configured: docs/concepts/risk.md#prices-and-feeds",
    )
    .action(
      action(async ({ core, output, signal }) => {
        const { FeedService, ListFeedsResponseSchema, ListIncidentsResponseSchema } = await import(
          "@aether/contract/gen/aether/v2/feed_pb"
        );
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { ago } = await import("../render/units.ts");
        const client = (await core()).client(FeedService);
        const call = { signal, timeoutMs: 15_000 };
        const [{ feeds }, { incidents }] = await Promise.all([
          client.listFeeds({}, call),
          client.listIncidents({ page: { pageSize: 50 } }, call),
        ]);
        const nowMs = Date.now();
        const plain = {
          ...(toPlain(ListFeedsResponseSchema, { feeds }) as object),
          ...(toPlain(ListIncidentsResponseSchema, { incidents }) as object),
        };
        output.result(plain, () =>
          [
            renderTable(
              feeds,
              [
                { title: "FEED", cell: (f) => f.name },
                { title: "STATE", cell: (f) => f.state },
                { title: "LAST", cell: (f) => ago(f.lastSuccessAt, nowMs) },
                { title: "KIND", cell: (f) => f.kind || "-" },
                { title: "INCIDENTS", align: "right", cell: (f) => String(f.itemsKept) },
                { title: "PROBLEM", cell: (f) => f.error || "-" },
              ],
              output.width,
              "No feed is configured: feeds.sources, see docs/concepts/risk.md#prices-and-feeds",
            ),
            ...incidents.map(
              (each) =>
                `${each.region}: ${each.title} (${each.feed}, ${ago(each.lastWordAt, nowMs)}, ${each.isResolved ? "resolved" : `weight ${each.weight.toFixed(2)}`})`,
            ),
          ].join("\n"),
        );
      }),
    );
}
