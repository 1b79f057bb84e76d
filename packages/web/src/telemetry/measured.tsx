// What was measured of a node or a workload over a window of time that one chooses.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type QueryKey, type UseQueryOptions, useQuery } from "@tanstack/react-query";
import { type GraphSpec, Graphs } from "./graphs.tsx";
import { useWindowSeconds, WindowChoice } from "./window.tsx";

interface Answer<Sample> {
  readonly samples: readonly Sample[];
  readonly since?: Timestamp | undefined;
  readonly until?: Timestamp | undefined;
}

interface Props<Sample, Own extends Answer<Sample>, Key extends QueryKey> {
  readonly read: (windowSeconds: number) => UseQueryOptions<Own, Error, Own, Key>;
  readonly graphs: readonly GraphSpec<Sample>[];
}

export function Measured<
  Sample extends { readonly at?: Timestamp | undefined; readonly spanMs: number },
  Own extends Answer<Sample>,
  Key extends QueryKey,
>({ read, graphs }: Props<Sample, Own, Key>) {
  const { data } = useQuery(read(useWindowSeconds()));
  if (data === undefined) return <div className="h-80 rounded-lg border border-line bg-surface" />;
  return <Graphs title="Measured" aside={<WindowChoice />} samples={data.samples} since={data.since} until={data.until} graphs={graphs} />;
}

/** A rate, in the words of its amount. */
export const perSecond = (text: (value: number) => string) => (value: number) => `${text(value)}/s`;
