// What a node risks and costs, where the control plane knows.
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { marketQueries } from "../api/market.ts";

export interface NodeMarket {
  /** Probability of an interruption within an hour. */
  riskOf(nodeId: string): number | undefined;
  /** Spot, USD an hour. */
  priceOf(nodeId: string): number | undefined;
}

const hourSeconds = 3_600;

export function useNodeMarket(): NodeMarket {
  const { data: assessments } = useQuery(marketQueries.assessments());
  const { data: pools } = useQuery(marketQueries.pools());
  return useMemo(() => {
    const risks = new Map<string, number>();
    for (const { subject, horizons } of assessments ?? []) {
      const risk = horizons.find(({ horizonSeconds }) => horizonSeconds === hourSeconds);
      if (subject.startsWith("node/") && risk !== undefined) risks.set(subject.slice("node/".length), risk.probability);
    }
    const prices = new Map<string, number>();
    for (const { nodes, spotUsdPerHour } of pools?.pools ?? [])
      for (const id of nodes) if (spotUsdPerHour !== undefined) prices.set(id, spotUsdPerHour);
    return { riskOf: (id) => risks.get(id), priceOf: (id) => prices.get(id) };
  }, [assessments, pools]);
}

export const dollarsAnHour = (value: number): string => `$${value.toFixed(value < 0.1 ? 4 : 3)}/h`;
