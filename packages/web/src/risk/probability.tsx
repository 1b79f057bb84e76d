import type { Assessment, HorizonRisk } from "@aether/contract/gen/aether/v2/risk_pb";
import { duration, percent } from "../format/units.ts";
import { Badge, type Tone } from "../ui/badge.tsx";

export const within = (assessment: Assessment, seconds: number): HorizonRisk | undefined =>
  assessment.horizons.find(({ horizonSeconds }) => horizonSeconds === seconds);

export function Probability({ risk }: { risk: HorizonRisk | undefined }) {
  if (risk === undefined) return <span className="text-soft">—</span>;
  const tone: Tone = risk.probability >= 0.5 ? "bad" : risk.probability >= 0.1 ? "warn" : "plain";
  return (
    <span className="inline-flex items-center gap-2 whitespace-nowrap" title={`within ${duration(risk.horizonSeconds * 1000)}`}>
      <Badge tone={tone}>{percent(risk.probability)}</Badge>
      <span className="nums text-xs text-soft">
        {percent(risk.low)} to {percent(risk.high)}
      </span>
    </span>
  );
}
