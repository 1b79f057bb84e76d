// Reasons as bars from where the last one ended: they begin at the starting probability and end at the probability, exactly.
import type { Assessment } from "@aether/contract/gen/aether/v2/risk_pb";
import { percent } from "../format/units.ts";
import { barsOf } from "./bars.ts";

export function Contributions({ assessment }: { assessment: Assessment }) {
  const bars = barsOf(assessment.startingProbability, assessment.contributions);
  const most = Math.max(0.01, ...bars.map(({ to, from }) => Math.max(to, from)));
  const part = (value: number) => `${(100 * Math.max(0, value)) / most}%`;
  return (
    <ul className="grid gap-2">
      {bars.map((bar) => (
        <li key={bar.name} className="grid gap-0.5">
          <div className="flex justify-between gap-3">
            <span className="min-w-0 wrap-anywhere">
              {bar.words} {bar.source !== "" && <span className="text-xs text-soft">{bar.source}</span>}
            </span>
            <span className="nums whitespace-nowrap">
              {bar.isTotal ? percent(bar.to) : `${bar.to >= bar.from ? "+" : "−"}${percent(Math.abs(bar.to - bar.from))}`}
            </span>
          </div>
          <div className="relative h-2 rounded bg-raised">
            <div
              className={`absolute inset-y-0 rounded ${bar.isTotal ? "bg-soft" : bar.to >= bar.from ? "bg-warn" : "bg-good"}`}
              style={{ left: part(Math.min(bar.from, bar.to)), width: `max(2px, ${part(Math.abs(bar.to - bar.from))})` }}
            />
          </div>
        </li>
      ))}
    </ul>
  );
}
