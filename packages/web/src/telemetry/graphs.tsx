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
  const [fromMs, toMs] = [msOf(since) ?? 0, msOf(until) ?? 0];
  return (
    <Panel title={title} aside={aside} isFlush>
      <div className="grid gap-px bg-line sm:grid-cols-2 xl:grid-cols-3">
        {drawn.filter(isMeasured).map(({ graph, lines }) => (
          <div key={graph.title} className="min-w-0 bg-surface">
            <div className="flex flex-wrap items-baseline gap-x-3 px-4 pt-2 text-xs">
              <h3 className="font-medium">{graph.title}</h3>
              {graph.lines.map(({ name, color }, i) => {
                const last = lines.values[i]?.findLast((value) => value !== null);
                return (
                  <span key={name} className="nums text-soft">
                    <span aria-hidden="true" className="mr-1 inline-block h-0.5 w-3 align-middle" style={{ background: `var(${color})` }} />
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
      </div>
      {missing.length > 0 && (
        <p className="px-4 py-2 text-xs text-soft">
          {samples.length === 0
            ? "Nothing was measured in this time: the agent reports every few seconds while it is connected."
            : `Not measured here: ${missing.join(", ").toLowerCase()}.`}
        </p>
      )}
    </Panel>
  );
}
