// The worst latency of each slice on a logarithmic scale, with moves and pauses behind it. Own drawing: it is on the first page, and a graph library
// would be a tenth of that page's script.
import { useMemo } from "react";
import { duration } from "../format/units.ts";
import { useWidth } from "../ui/width.ts";
import type { Band, Points } from "./points.ts";

const height = 152;
const [left, right, top, bottom] = [58, 14, 8, 22];
/** Of "03:12:45" below it, in px: one that does not fit is left out. */
const clockWidth = 52;
const lowestMs = 0.1;
const decades = [0.1, 1, 10, 100, 1_000, 10_000, 100_000];

/** Between two times of the axis. */
const steps = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000];

interface Props {
  readonly label: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly points: Points;
  readonly moves: readonly Band[];
  readonly pauses: readonly Band[];
}

export function LatencyGraph({ label, fromMs, toMs, points, moves, pauses }: Props) {
  const [ref, width] = useWidth<HTMLElement>();
  const { highest, last } = useMemo(() => extremes(points), [points]);
  const ceiling = decades.find((each) => each >= Math.max(1_000, highest)) ?? 100_000;
  const inner = Math.max(50, width - left - right);
  const x = (ms: number) => left + (inner * (ms - fromMs)) / (toMs - fromMs);
  const y = (ms: number) =>
    top + (height - top - bottom) * (1 - Math.log(Math.max(lowestMs, ms) / lowestMs) / Math.log(ceiling / lowestMs));
  const words = `${label}. Last ${duration(last)}, highest ${duration(highest)}, ${pauses.length} pauses.`;
  const everyMs = steps.find((each) => (toMs - fromMs) / each <= inner / 90) ?? 600_000;
  const clocks: number[] = [];
  for (let at = Math.ceil(fromMs / everyMs) * everyMs; at <= toMs; at += everyMs) if (x(at) <= width - clockWidth / 2) clocks.push(at);
  return (
    <figure ref={ref} className="m-0" style={{ height }}>
      {width > 0 && (
        <svg width={width} height={height} role="img" aria-label={words} className="block">
          <title>{words}</title>
          {decades
            .filter((each) => each <= ceiling)
            .map((each) => (
              <g key={each}>
                <line x1={left} x2={left + inner} y1={y(each)} y2={y(each)} stroke="var(--line)" />
                <text x={left - 6} y={y(each) + 4} fontSize={11} textAnchor="end" fill="var(--soft)">
                  {duration(each)}
                </text>
              </g>
            ))}
          {clocks.map((at) => (
            <text key={at} x={x(at)} y={height - 6} fontSize={11} textAnchor="middle" fill="var(--soft)" className="nums">
              {new Date(at).toLocaleTimeString("en-GB")}
            </text>
          ))}
          <Bands bands={moves} x={x} limits={[left, left + inner]} color="var(--source)" what="move" />
          <Bands bands={pauses} x={x} limits={[left, left + inner]} color="var(--bad)" what="pause" />
          <path d={pathOf(points, x, y)} fill="none" stroke="var(--accent)" strokeWidth={1.2} strokeLinejoin="round" />
        </svg>
      )}
    </figure>
  );
}

interface BandsProps {
  readonly bands: readonly Band[];
  readonly x: (ms: number) => number;
  readonly limits: readonly [number, number];
  readonly color: string;
  readonly what: string;
}

function Bands({ bands, x, limits: [low, high], color, what }: BandsProps) {
  return bands.map(({ fromMs, toMs }) => {
    const [from, to] = [Math.max(low, x(fromMs)), Math.min(high, x(toMs))];
    if (to < low || from > high) return null;
    return (
      <rect key={fromMs} x={from} y={top} width={Math.max(2, to - from)} height={height - top - bottom} fill={color} opacity={0.2}>
        <title>{`${what}, ${duration(toMs - fromMs)}`}</title>
      </rect>
    );
  });
}

/** A slice without an answer is a gap in the line, not a fast answer. */
function pathOf({ times, worst }: Points, x: (ms: number) => number, y: (ms: number) => number): string {
  let path = "";
  let isDown = false;
  for (const [i, seconds] of times.entries()) {
    const ms = worst[i];
    if (ms === null || ms === undefined || x(seconds * 1000) < left) isDown = false;
    else {
      path += `${isDown ? "L" : "M"}${x(seconds * 1000).toFixed(1)} ${y(ms).toFixed(1)}`;
      isDown = true;
    }
  }
  return path;
}

function extremes({ worst }: Points): { highest: number; last: number } {
  let [highest, last] = [0, 0];
  for (const ms of worst) {
    if (ms === null) continue;
    highest = Math.max(highest, ms);
    last = ms;
  }
  return { highest, last };
}
