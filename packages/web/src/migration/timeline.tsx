// The picture of a move: lanes of both hosts on one clock, the freeze across them, live while it happens and replayed afterwards.
import { useEffect, useState } from "react";
import { duration } from "../format/units.ts";
import { Button } from "../ui/button.tsx";
import { useWidth } from "../ui/width.ts";
import { factText } from "./fact-text.ts";
import { at, type Lane, type LaneKind, type Layout, type Span, ticksOf } from "./layout.ts";

const rowHeight = 22;
const rowGap = 3;
const laneGap = 14;
const axisHeight = 24;

const colors: Readonly<Record<LaneKind, string>> = {
  control: "var(--soft)",
  source: "var(--source)",
  target: "var(--target)",
  client: "var(--bad)",
};

interface Props {
  readonly layout: Layout;
  readonly isLive: boolean;
  readonly chosen: string | undefined;
  readonly onChoose: (key: string | undefined) => void;
}

export function Timeline({ layout, isLive, chosen, onChoose }: Props) {
  const [ref, width] = useWidth();
  const replay = useReplay(layout, isLive);
  const isNarrow = width < 480;
  const left = isNarrow ? 4 : 116;
  const right = 12;
  const inner = Math.max(50, width - left - right);
  const lengthMs = layout.toMs - layout.fromMs;
  const x = (ms: number) => left + (inner * (ms - layout.fromMs)) / lengthMs;
  const lanes = placeLanes(layout.lanes, isNarrow);
  const height = lanes.height + axisHeight;
  const headMs = replay.atMs ?? layout.toMs;
  return (
    <div className="px-4 pb-3">
      <div ref={ref} style={{ height }}>
        {width > 0 && (
          <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={tell(layout)} className="block">
            <title>{tell(layout)}</title>
            {ticksOf(lengthMs, Math.max(2, Math.floor(inner / 90))).map((offset) => (
              <g key={offset} transform={`translate(${x(layout.fromMs + offset)} 0)`}>
                <line y1={axisHeight - 6} y2={height} stroke="var(--line)" />
                {x(layout.fromMs + offset) + 44 < width && (
                  <text x={3} y={12} fontSize={11} fill="var(--soft)" className="nums">
                    {offset === 0 ? "0" : `+${duration(offset)}`}
                  </text>
                )}
              </g>
            ))}
            {layout.freeze !== undefined && (
              <rect
                x={x(layout.freeze.fromMs)}
                y={axisHeight - 6}
                width={Math.max(1, x(layout.freeze.toMs) - x(layout.freeze.fromMs))}
                height={height - axisHeight + 6}
                fill="var(--warn)"
                opacity={0.13}
              />
            )}
            {lanes.placed.map(({ lane, y, height: own }) => (
              <g key={lane.kind + lane.title} transform={`translate(0 ${axisHeight})`}>
                <LaneTitle lane={lane} y={y} isNarrow={isNarrow} />
                {lane.rows.map((row, i) =>
                  row.map((span, j) => (
                    <Bar
                      key={span.key}
                      span={span}
                      color={span.isFailed ? "var(--bad)" : colors[lane.kind]}
                      kind={lane.kind}
                      x={x(span.fromMs)}
                      width={Math.max(2, x(span.toMs) - x(span.fromMs))}
                      room={(row[j + 1] === undefined ? left + inner : x(row[j + 1]?.fromMs ?? 0)) - x(span.fromMs)}
                      y={y + (isNarrow ? 16 : 0) + i * (rowHeight + rowGap)}
                      isPast={span.fromMs <= headMs}
                      isChosen={chosen === span.key}
                      onChoose={onChoose}
                    />
                  )),
                )}
                <line x1={left} x2={left + inner} y1={y + own + laneGap / 2} y2={y + own + laneGap / 2} stroke="var(--line)" />
              </g>
            ))}
            {layout.committedMs !== undefined && layout.committedMs <= headMs && (
              <g transform={`translate(${x(layout.committedMs)} 0)`}>
                <line y1={axisHeight - 6} y2={height} stroke="var(--good)" strokeDasharray="3 2" />
              </g>
            )}
            {replay.atMs !== undefined && (
              <line x1={x(headMs)} x2={x(headMs)} y1={axisHeight - 10} y2={height} stroke="var(--text)" strokeWidth={1.5} />
            )}
          </svg>
        )}
      </div>
      <Legend layout={layout} />
      {!isLive && lengthMs > 1 && (
        <div className="mt-2 flex flex-wrap items-center gap-3">
          <Button onClick={replay.toggle}>{replay.isPlaying ? "Pause" : "Replay"}</Button>
          <input
            type="range"
            min={0}
            max={1000}
            step={1}
            aria-label="Moment of the move"
            aria-valuetext={`${duration(headMs - layout.fromMs)} after its start`}
            value={Math.round((1000 * (headMs - layout.fromMs)) / lengthMs)}
            onChange={(event) => replay.seek(layout.fromMs + (lengthMs * Number(event.target.value)) / 1000)}
            className="h-6 min-w-40 flex-1 accent-[var(--accent)]"
          />
          <output className="nums w-full text-xs text-soft sm:w-80">
            +{duration(headMs - layout.fromMs)} {replay.atMs === undefined ? "" : at(layout, headMs).join(" · ")}
          </output>
        </div>
      )}
    </div>
  );
}

interface BarProps {
  readonly span: Span;
  readonly color: string;
  readonly kind: LaneKind;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  /** To the next bar of the row: where the name may go when the bar is too short for it. */
  readonly room: number;
  readonly isPast: boolean;
  readonly isChosen: boolean;
  readonly onChoose: (key: string | undefined) => void;
}

/** About how wide a name is at 11 px. */
const widthOf = (text: string) => text.length * 6.1 + 10;

function Bar({ span, color, kind, x, y, width, room, isPast, isChosen, onChoose }: BarProps) {
  const name = kind === "control" ? span.name : span.name.replace(/^(freeze|restore|resume|copy|prepare|release|transfer|thaw)\./, "$1 ");
  const fits = width > widthOf(name) ? "inside" : room - width > widthOf(name) ? "beside" : "nowhere";
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the same is in the table below, by keyboard
    <g opacity={isPast ? 1 : 0.18} onMouseEnter={() => onChoose(span.key)} onMouseLeave={() => onChoose(undefined)}>
      <title>{`${span.name}: ${duration(span.toMs - span.fromMs)}${Object.entries(span.facts)
        .map(([key, value]) => `\n${factText(key, value)}`)
        .join("")}`}</title>
      <rect
        x={x}
        y={y}
        width={width}
        height={rowHeight}
        rx={3}
        fill={color}
        fillOpacity={kind === "control" ? 0.14 : isChosen ? 0.55 : 0.3}
        stroke={color}
        strokeOpacity={isChosen ? 1 : kind === "control" ? 0.35 : 0.8}
        className={span.isOpen ? "pulse" : undefined}
      />
      {fits !== "nowhere" && (
        <text
          x={fits === "inside" ? x + 6 : x + width + 4}
          y={y + 15}
          fontSize={11}
          fill={fits === "inside" ? "var(--text)" : "var(--soft)"}
        >
          {name}
        </text>
      )}
    </g>
  );
}

const roles: Readonly<Record<LaneKind, string>> = { control: "", source: "source", target: "target", client: "" };

function LaneTitle({ lane: { kind, title }, y, isNarrow }: { lane: Lane; y: number; isNarrow: boolean }) {
  const short = title.length > 16 && !isNarrow ? `${title.slice(0, 15)}…` : title;
  if (isNarrow) {
    return (
      <text x={8} y={y + 11} fontSize={11} fill="var(--soft)">
        {short} {roles[kind]}
      </text>
    );
  }
  return (
    <>
      <text x={0} y={y + 15} fontSize={12} fontWeight={550} fill={kind === "source" || kind === "target" ? colors[kind] : "var(--soft)"}>
        {short}
      </text>
      <text x={0} y={y + 29} fontSize={11} fill="var(--soft)">
        {roles[kind]}
      </text>
    </>
  );
}

function placeLanes(lanes: readonly Lane[], isNarrow: boolean) {
  let y = 0;
  const placed = lanes.map((lane) => {
    const rows = Math.max(1, lane.rows.length);
    const title = isNarrow ? 16 : 0;
    const least = !isNarrow && (lane.kind === "source" || lane.kind === "target") ? 32 : 0;
    const height = Math.max(least, title + rows * (rowHeight + rowGap) - rowGap);
    const place = { lane, y, height };
    y += height + laneGap;
    return place;
  });
  return { placed, height: y };
}

function Legend({ layout }: { layout: Layout }) {
  const { freeze, committedMs } = layout;
  return (
    <div className="flex flex-wrap gap-x-4 gap-y-1 text-xs text-soft">
      {freeze !== undefined && (
        <span className="inline-flex items-center gap-1.5">
          <span className="h-3 w-4 rounded-sm bg-warn/20" aria-hidden="true" />
          frozen for {duration(freeze.toMs - freeze.fromMs)}
          {freeze.isOpen && " so far"}
        </span>
      )}
      {committedMs !== undefined && (
        <span className="inline-flex items-center gap-1.5">
          <span className="h-3 border-l border-dashed border-good" aria-hidden="true" />
          committed at +{duration(committedMs - layout.fromMs)}: from here on it belongs to the target
        </span>
      )}
    </div>
  );
}

function tell({ lanes, fromMs, toMs, freeze }: Layout): string {
  const parts = lanes.map(({ title, rows }) => `${title}: ${rows.flat().length} spans`);
  const frozen = freeze === undefined ? "" : `, frozen for ${duration(freeze.toMs - freeze.fromMs)}`;
  return `Timeline of ${duration(toMs - fromMs)}${frozen}. ${parts.join(", ")}. The table below has each of them.`;
}

/** A replay takes four seconds at least, so that one sees a move of one second; twenty at most. */
function useReplay({ fromMs, toMs }: Layout, isLive: boolean) {
  const [atMs, setAt] = useState<number>();
  const [isPlaying, setPlaying] = useState(false);
  useEffect(() => {
    if (!isPlaying) return;
    const lengthMs = toMs - fromMs;
    const speed = lengthMs / Math.min(20_000, Math.max(4_000, lengthMs));
    let frame = 0;
    let last = performance.now();
    const step = (now: number) => {
      const passed = (now - last) * speed;
      last = now;
      setAt((before) => {
        const next = (before ?? fromMs) + passed;
        if (next < toMs) return next;
        setPlaying(false);
        return undefined;
      });
      frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
    return () => cancelAnimationFrame(frame);
  }, [isPlaying, fromMs, toMs]);
  return {
    atMs: isLive ? undefined : atMs,
    isPlaying,
    toggle: () => {
      if (!isPlaying && atMs === undefined) setAt(fromMs);
      setPlaying(!isPlaying);
    },
    seek: (ms: number) => {
      setPlaying(false);
      setAt(ms >= toMs ? undefined : ms);
    },
  };
}
