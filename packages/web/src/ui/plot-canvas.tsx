// Lines over time, by uPlot: drawn on a canvas, with the values told in words below it for those who do not see it.
import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useTheme } from "../app/theme.ts";

interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
  /** A colour's name in style.css, e.g. "--accent". */
  readonly color: string;
  readonly format: (value: number) => string;
  /** Bytes: marks are at powers of two. */
  readonly isBinary?: boolean;
}

export interface PlotProps {
  readonly label: string;
  readonly height: number;
  readonly fromMs: number;
  readonly toMs: number;
  /** Seconds since 1970. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  /** Fills between two of the series, by their places: a range. */
  readonly band?: readonly [upper: number, lower: number];
}

const colorOf = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name);

export default function PlotCanvas(props: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const plot = useRef<uPlot>(undefined);
  const theme = useTheme();
  const shape = props.series.map(({ name, color }) => `${name}${color}`).join();

  // biome-ignore lint/correctness/useExhaustiveDependencies: made anew only for another theme or other lines; data is set below
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const made = new uPlot(optionsFor(latest, element.clientWidth), dataOf(latest.current), element);
    plot.current = made;
    const resize = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: latest.current.height }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [theme, shape]);

  useEffect(() => {
    plot.current?.setData(dataOf(props), false);
    plot.current?.setScale("x", { min: props.fromMs / 1000, max: props.toMs / 1000 });
  }, [props]);

  const summary = useMemo(() => summarise(props.series), [props.series]);
  return (
    <figure className="m-0 px-2 pb-2">
      <div ref={place} role="img" aria-label={`${props.label}. ${summary}`} style={{ height: props.height }} className="overflow-hidden" />
    </figure>
  );
}

const dataOf = ({ times, series }: PlotProps): uPlot.AlignedData => [[...times], ...series.map(({ values }) => [...values])];

function summarise(series: readonly Series[]): string {
  return series
    .map(({ name, values, format }) => {
      const known = values.filter((value) => value !== null);
      if (known.length === 0) return `${name}: nothing measured`;
      return `${name}: last ${format(known.at(-1) ?? 0)}, highest ${format(known.reduce((a, b) => Math.max(a, b), 0))}`;
    })
    .join(". ");
}

function optionsFor(latest: { readonly current: PlotProps }, width: number): uPlot.Options {
  const { series, height, band } = latest.current;
  const [soft, line] = [colorOf("--soft"), colorOf("--line")];
  const font = '11px "Inter", system-ui, sans-serif';
  const format = series[0]?.format ?? String;
  const axis = { stroke: soft, font, ticks: { show: false }, grid: { stroke: line, width: 1 } };
  return {
    width,
    height,
    padding: [8, 24, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: {
      x: { time: true, auto: false, range: () => [latest.current.fromMs / 1000, latest.current.toMs / 1000] },
      y: { range: (_self, _min, max) => [0, max > 0 ? max * 1.15 : 1] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 24, space: 76, values: (_self, splits) => timeWords(splits, latest.current) },
      {
        ...axis,
        size: 62,
        space: 26,
        ...(series[0]?.isBinary === true ? { incrs: powersOfTwo } : {}),
        values: (_self, splits) => splits.map((value) => format(value)),
      },
    ],
    series: [
      {},
      ...series.map(({ name, color }) => ({
        label: name,
        stroke: colorOf(color),
        width: 1.5,
        points: { show: false },
        spanGaps: false,
        ...(series.length === 1 ? { fill: `color-mix(in srgb, ${colorOf(color)} 12%, transparent)` } : {}),
      })),
    ],
    ...(band === undefined
      ? {}
      : {
          bands: [
            { series: [band[0] + 1, band[1] + 1], fill: `color-mix(in srgb, ${colorOf(series[0]?.color ?? "--accent")} 16%, transparent)` },
          ],
        }),
    hooks: { setCursor: [(self) => tellCursor(self, latest.current)] },
  };
}

const powersOfTwo = Array.from({ length: 50 }, (_, i) => 2 ** i);

/** One line, 24 hours, in the viewer's zone: with seconds in a short window, with the day in a long one. */
function timeWords(splits: readonly number[], { fromMs, toMs }: PlotProps): string[] {
  const lengthMs = toMs - fromMs;
  return splits.map((seconds) => {
    const at = new Date(seconds * 1000);
    if (lengthMs > 2 * 86_400_000) return at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
    return at.toLocaleTimeString("en-GB", lengthMs < 600_000 ? {} : { hour: "2-digit", minute: "2-digit" });
  });
}

/** The value under the pointer, in the title of the plot: a legend would take room that the graph needs. */
function tellCursor(plot: uPlot, { times, series }: PlotProps): void {
  const at = plot.cursor.idx;
  if (at === null || at === undefined) return;
  const time = times[at];
  if (time === undefined) return;
  const values = series.map(
    ({ name, values: own, format }) => `${name} ${own[at] === null || own[at] === undefined ? "—" : format(own[at])}`,
  );
  plot.over.title = `${new Date(time * 1000).toLocaleTimeString("en-GB")}\n${values.join("\n")}`;
}
