import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { msOf } from "../format/time.ts";
import { Panel } from "../ui/panel.tsx";
import { Plot } from "../ui/plot.tsx";
import { linesOf } from "./series.ts";

export interface GraphSpec<Sample> {
  readonly title: string;
  readonly format: (value: number) => string;
  readonly isBinary?: boolean;
  readonly lines: readonly {
    readonly name: string;
    readonly color: string;
    readonly read: (sample: Sample) => number | bigint | undefined;
  }[];
}

interface Props<Sample> {
  readonly title: string;
  readonly aside?: React.ReactNode;
  readonly samples: readonly Sample[];
  readonly since: Timestamp | undefined;
  readonly until: Timestamp | undefined;
  readonly graphs: readonly GraphSpec<Sample>[];
}

/** Small graphs on one axis of time; one that was never measured is not drawn, and is named as missing. */
export function Graphs<Sample extends { readonly at?: Timestamp | undefined; readonly spanMs: number }>({
  title,
  aside,
  samples,
  since,
  until,
  graphs,
}: Props<Sample>) {
  const drawn = graphs.map((graph) => ({
    graph,
    lines: linesOf(
      samples,
      graph.lines.map(({ read }) => read),
    ),
  }));
  const isMeasured = ({ lines }: (typeof drawn)[number]) => lines.values.some((line) => line.some((value) => value !== null));
  const missing = drawn.filter((each) => !isMeasured(each)).map(({ graph }) => graph.title);
  const toMs = msOf(until) ?? 0;
  const fromMs = beginOf(msOf(since) ?? 0, toMs, msOf(samples[0]?.at));
  const measured = drawn.filter(isMeasured);
  return (
    <Panel title={title} aside={aside} isFlush>
      <div className="grid gap-px bg-line sm:grid-cols-2 xl:grid-cols-3">
        {measured.map(({ graph, lines }) => (
          <div key={graph.title} className="min-w-0 bg-surface">
            <div className="flex h-7 items-baseline gap-x-2 overflow-hidden px-4 pt-2 text-xs whitespace-nowrap">
              <h3 className="font-medium">{graph.title}</h3>
              {graph.lines.map(({ name, color }, i) => {
                const last = lines.values[i]?.findLast((value) => value !== null);
                return (
                  <span key={name} className="nums text-soft">
                    <span aria-hidden="true" className="mr-1 inline-block h-0.5 w-2 align-middle" style={{ background: `var(${color})` }} />
                    {graph.lines.length > 1 && `${name} `}
                    {last === undefined || last === null ? "—" : graph.format(last)}
                  </span>
                );
              })}
            </div>
            <Plot
              label={graph.title}
              height={112}
              fromMs={fromMs}
              toMs={toMs}
              times={lines.times}
              series={graph.lines.map(({ name, color }, i) => ({
                name,
                color,
                format: graph.format,
                values: lines.values[i] ?? [],
                isBinary: graph.isBinary === true,
              }))}
            />
          </div>
        ))}
        {/* An empty place is a part of the panel, not a grey tile. */}
        {measured.length % 2 === 1 && <div className="hidden bg-surface sm:block xl:hidden" />}
        {measured.length % 3 !== 0 && <div className={`hidden bg-surface xl:block ${measured.length % 3 === 1 ? "xl:col-span-2" : ""}`} />}
      </div>
      {missing.length > 0 && (
        <p className="px-4 py-2 text-xs text-soft">
          {samples.length === 0
            ? "Nothing was measured in this time: the agent reports every few seconds while it is connected."
            : `Not measured here: ${missing.join(", ")}.`}
        </p>
      )}
    </Panel>
  );
}

/** What was measured for a minute fills the graph: most of a window before the first sample would show nothing. */
function beginOf(sinceMs: number, untilMs: number, firstMs: number | undefined): number {
  const leastMs = 60_000;
  if (firstMs === undefined) return sinceMs;
  return Math.max(sinceMs, Math.min(firstMs, untilMs - leastMs));
}
