import type { Assessment } from "@aether/contract/gen/aether/v2/risk_pb";
import { useQuery } from "@tanstack/react-query";
import { marketQueries } from "../api/market.ts";
import { dollarsAnHour } from "../format/money.ts";
import { msOf } from "../format/time.ts";
import { duration, percent } from "../format/units.ts";
import { Facts } from "../ui/facts.tsx";
import { Panel } from "../ui/panel.tsx";
import { Plot } from "../ui/plot.tsx";
import { Contributions } from "./contributions.tsx";
import { Survival } from "./survival.tsx";

export function Explained({ subject, name }: { subject: string; name: string }) {
  const { data } = useQuery(marketQueries.explainRisk(subject));
  if (data?.assessment === undefined) return null;
  const { assessment, lines, survival } = data;
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <div className="grid gap-4">
        <Panel
          title={<span className="wrap-anywhere">Why: {name}</span>}
          aside={<span className="text-xs">within {duration(assessment.explainedHorizonSeconds * 1000)}</span>}
        >
          <Contributions assessment={assessment} />
          <details className="mt-3">
            <summary className="min-h-6 text-soft">the same in words</summary>
            <ul className="mt-1 grid gap-1 text-soft">
              {lines.map((line) => (
                <li key={line} className="wrap-anywhere">
                  {line}
                </li>
              ))}
            </ul>
          </details>
        </Panel>
        <Inputs assessment={assessment} />
      </div>
      <div className="grid gap-4">
        <Panel title="Still there after" isFlush>
          <Survival points={survival} />
        </Panel>
        <RiskOverTime subject={subject} />
        {assessment.pool !== "" && <Price pool={assessment.pool} />}
      </div>
    </div>
  );
}

/** Of a node or a pool, as it was assessed. Nothing where the control plane does not assess. */
export function RiskOverTime({ subject }: { subject: string }) {
  const { data = [] } = useQuery(marketQueries.riskHistory(subject));
  const points = data.flatMap((each) => {
    const ms = msOf(each.at);
    const risk = each.horizons.find(({ horizonSeconds }) => horizonSeconds === each.explainedHorizonSeconds);
    return ms === undefined || risk === undefined ? [] : [{ ms, risk }];
  });
  const [last, first] = [points[0], points.at(-1)];
  if (last === undefined || first === undefined || points.length < 2) return null;
  const ordered = points.toReversed();
  return (
    <Panel
      title="Risk over time"
      aside={<span className="text-xs">of an interruption within {duration(last.risk.horizonSeconds * 1000)}, with its range</span>}
      isFlush
    >
      <Plot
        label={`Probability of interruption of ${subject}`}
        height={140}
        fromMs={first.ms}
        toMs={last.ms}
        times={ordered.map(({ ms }) => ms / 1000)}
        series={[
          { name: "probability", color: "--accent", format: percent, values: ordered.map(({ risk }) => risk.probability) },
          { name: "low", color: "--line", format: percent, values: ordered.map(({ risk }) => risk.low) },
          { name: "high", color: "--line", format: percent, values: ordered.map(({ risk }) => risk.high) },
        ]}
        band={[2, 1]}
      />
    </Panel>
  );
}

function Price({ pool }: { pool: string }) {
  const { data } = useQuery(marketQueries.priceHistory(pool));
  if (data === undefined || data.points.length === 0) return null;
  const times = data.points.map(({ at }) => (msOf(at) ?? 0) / 1000);
  const nowMs = Date.now();
  const last = data.points.at(-1);
  if (last === undefined) return null;
  return (
    <Panel
      title="Spot price"
      aside={<span className="wrap-anywhere text-xs">{data.sources.map(({ name }) => name).join(", ")}</span>}
      isFlush
    >
      <Plot
        label={`Spot price of ${pool} over the last week`}
        height={140}
        fromMs={Math.min((times[0] ?? 0) * 1000, nowMs - 3_600_000)}
        toMs={nowMs}
        times={[...times, nowMs / 1000]}
        series={[
          {
            name: "spot",
            color: "--accent",
            format: dollarsAnHour,
            values: [...data.points.map(({ spotUsdPerHour }) => spotUsdPerHour), last.spotUsdPerHour],
          },
          ...(data.onDemandUsdPerHour === undefined
            ? []
            : [
                {
                  name: "on-demand",
                  color: "--warn",
                  format: dollarsAnHour,
                  values: [...times, 0].map(() => data.onDemandUsdPerHour ?? null),
                },
              ]),
        ]}
      />
    </Panel>
  );
}

function Inputs({ assessment: { inputs, missing, modelVersion } }: { assessment: Assessment }) {
  return (
    <Panel title="What it was read from">
      <Facts
        facts={[
          ["model", modelVersion],
          ...inputs.map(
            ({ name, value, source }) =>
              [
                name.replaceAll("-", " "),
                <>
                  {value} <span className="text-soft">(from {source})</span>
                </>,
              ] as const,
          ),
        ]}
      />
      {missing.length > 0 && (
        <p className="mt-3 text-warn">
          Not known, which made the range wider: {missing.map((name) => name.replaceAll("-", " ")).join(", ")}.
        </p>
      )}
    </Panel>
  );
}
