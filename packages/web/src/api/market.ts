// Risk, prices and feeds: read by pages of their own, so that nobody else loads their part of the contract.
import { FeedService } from "@aether/contract/gen/aether/v2/feed_pb";
import { PriceService } from "@aether/contract/gen/aether/v2/price_pb";
import { RiskService } from "@aether/contract/gen/aether/v2/risk_pb";
import { createClient } from "@connectrpc/connect";
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { everyPage } from "./lists.ts";
import { transport } from "./transport.ts";

const market = {
  feeds: createClient(FeedService, transport),
  prices: createClient(PriceService, transport),
  risk: createClient(RiskService, transport),
};

export const marketQueries = {
  assessments: () =>
    queryOptions({
      queryKey: ["risk", "list"],
      queryFn: ({ signal }) =>
        everyPage(
          (page) => market.risk.listAssessments({ page }, { signal }),
          ({ assessments }) => assessments,
          2_000,
        ),
    }),
  explainRisk: (subject: string) =>
    queryOptions({
      queryKey: ["risk", "explain", subject],
      queryFn: ({ signal }) => market.risk.explainRisk({ subject }, { signal }),
    }),
  riskHistory: (subject: string) =>
    queryOptions({
      queryKey: ["risk", "history", subject],
      queryFn: async ({ signal }) => (await market.risk.listRiskHistory({ subject, page: { pageSize: 500 } }, { signal })).assessments,
    }),
  pools: () =>
    queryOptions({
      queryKey: ["price", "pools"],
      queryFn: ({ signal }) => market.prices.listPools({}, { signal }),
    }),
  priceHistory: (pool: string) =>
    queryOptions({
      queryKey: ["price", "history", pool],
      queryFn: ({ signal }) => market.prices.getPriceHistory({ pool, hours: 168 }, { signal }),
    }),
  savings: (hours: number) =>
    queryOptions({
      queryKey: ["savings", hours],
      queryFn: ({ signal }) => market.prices.getSavings({ hours }, { signal }),
      placeholderData: keepPreviousData,
    }),
  feeds: () =>
    queryOptions({
      queryKey: ["feed"],
      queryFn: async ({ signal }) => (await market.feeds.listFeeds({}, { signal })).feeds,
    }),
  incidents: () =>
    queryOptions({
      queryKey: ["feed", "incidents"],
      queryFn: async ({ signal }) => (await market.feeds.listIncidents({ page: { pageSize: 50 } }, { signal })).incidents,
    }),
};
