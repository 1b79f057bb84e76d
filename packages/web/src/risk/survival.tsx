// How likely the instance is still there, by time, with its range. Own drawing: the time axis is logarithmic, from minutes to a day.
import type { SurvivalPoint } from "@aether/contract/gen/aether/v2/risk_pb";
import { duration, percent } from "../format/units.ts";
import { useWidth } from "../ui/width.ts";

const [height, left, bottom] = [200, 48, 24];

export function Survival({ points }: { points: readonly SurvivalPoint[] }) {
  const [ref, width] = useWidth();
  const known = points.filter(({ afterSeconds }) => afterSeconds > 0);
  const [first, last] = [known[0], known.at(-1)];
  if (first === undefined || last === undefined || first === last) return <p className="px-4 py-6 text-soft">Not known.</p>;
  const span = Math.log(last.afterSeconds / first.afterSeconds);
  const lowest = Math.min(...known.map(({ low }) => low));
  const floor = Math.max(0, Math.floor(lowest * 10) / 10);
  const x = (seconds: number) => left + ((width - 16 - left - 8) * Math.log(seconds / first.afterSeconds)) / span;
  const y = (probability: number) => 8 + (height - bottom - 8) * (1 - (probability - floor) / (1 - floor || 1));
  const line = (of: (point: SurvivalPoint) => number) =>
    known.map((point) => `${x(point.afterSeconds).toFixed(1)} ${y(of(point)).toFixed(1)}`);
  const marks = [120, 600, 3_600, 21_600, 86_400].filter((seconds) => seconds >= first.afterSeconds && seconds <= last.afterSeconds);
  const label = `Probability to be still there: ${known.map((point) => `${percent(point.probability)} after ${duration(point.afterSeconds * 1000)}`).join(", ")}`;
  return (
    <div ref={ref} className="px-2 py-2" style={{ height: height + 16 }}>
      {width > 0 && (
        <svg width={width - 16} height={height} role="img" aria-label={label} className="block">
          <title>{label}</title>
          {[floor, (1 + floor) / 2, 1].map((probability) => (
            <g key={probability}>
              <line x1={left} x2={width - 16 - 8} y1={y(probability)} y2={y(probability)} stroke="var(--line)" />
              <text x={left - 6} y={y(probability) + 4} fontSize={11} textAnchor="end" fill="var(--soft)">
                {percent(probability)}
              </text>
            </g>
          ))}
          {marks.map((seconds) => (
            <text
              key={seconds}
              x={x(seconds)}
              y={height - 6}
              fontSize={11}
              textAnchor={seconds === last.afterSeconds ? "end" : "middle"}
              fill="var(--soft)"
            >
              {duration(seconds * 1000)}
            </text>
          ))}
          <path
            d={`M${[...line(({ high }) => high), ...line(({ low }) => low).toReversed()].join("L")}Z`}
            fill="var(--accent)"
            opacity={0.15}
          />
          <path d={`M${line(({ probability }) => probability).join("L")}`} fill="none" stroke="var(--accent)" strokeWidth={1.8} />
        </svg>
      )}
    </div>
  );
}
