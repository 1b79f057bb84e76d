// What a node risks and costs, where the control plane knows.
import { Verdict } from "@aether/contract/gen/aether/v2/certificate_pb";
import type { Node } from "@aether/contract/gen/aether/v2/node_pb";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { marketQueries } from "../api/market.ts";
import { queries } from "../api/queries.ts";

export interface NodeMarket {
  /** Probability of an interruption within an hour. */
  riskOf(nodeId: string): number | undefined;
  /** Spot, USD an hour. */
  priceOf(nodeId: string): number | undefined;
  /** Against on-demand, USD over the last 30 days. */
  savedOf(nodeId: string): number | undefined;
  /** Of the workloads on it; undefined where none has a certificate. */
  worstVerdictOf(node: Node): Verdict | undefined;
  /** Of all nodes whose price is known. */
  readonly usdPerHour: number | undefined;
  readonly savedUsd: number | undefined;
  /** Prices and savings were read; what is undefined then is not known. */
  readonly isKnown: boolean;
}

const hourSeconds = 3_600;
const savedOverHours = 720;
const bad: Partial<Record<Verdict, number>> = { [Verdict.RED]: 3, [Verdict.AMBER]: 2, [Verdict.GREEN]: 1 };

export function useNodeMarket(): NodeMarket {
  const { data: assessments } = useQuery(marketQueries.assessments());
  const { data: pools } = useQuery(marketQueries.pools());
  const { data: savings } = useQuery(marketQueries.savings(savedOverHours));
  const { data: certificates } = useQuery(queries.certificates());
  return useMemo(() => {
    const risks = new Map<string, number>();
    for (const { subject, horizons } of assessments ?? []) {
      const risk = horizons.find(({ horizonSeconds }) => horizonSeconds === hourSeconds);
      if (subject.startsWith("node/") && risk !== undefined) risks.set(subject.slice("node/".length), risk.probability);
    }
    const prices = new Map<string, number>();
    for (const { nodes, spotUsdPerHour } of pools?.pools ?? [])
      for (const id of nodes) if (spotUsdPerHour !== undefined) prices.set(id, spotUsdPerHour);
    const saved = new Map((savings?.nodes ?? []).map(({ subject, savedUsd }) => [subject.slice("node/".length), savedUsd]));
    const verdicts = new Map((certificates ?? []).map(({ workload, verdict }) => [workload, verdict]));
    return {
      riskOf: (id) => risks.get(id),
      priceOf: (id) => prices.get(id),
      savedOf: (id) => saved.get(id),
      worstVerdictOf: ({ workloads }) =>
        workloads
          .map((name) => verdicts.get(name))
          .filter((verdict) => verdict !== undefined)
          .sort((a, b) => (bad[b] ?? 0) - (bad[a] ?? 0))[0],
      usdPerHour: prices.size === 0 ? undefined : [...prices.values()].reduce((sum, each) => sum + each, 0),
      savedUsd: savings?.fleet?.savedUsd,
      isKnown: pools !== undefined && savings !== undefined,
    };
  }, [assessments, pools, savings, certificates]);
}
