// The newest events: those from before this page was opened, read once, and those that the stream brought since.
import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { queries } from "../api/queries.ts";
import { useLive } from "../live/live.tsx";

export function useRecentEvents(
  fits: (event: Event) => boolean = () => true,
  subject = "",
): { events: readonly Event[]; isPending: boolean /** Where older ones begin; empty: there are none. */; older: string } {
  const { recent } = useLive();
  const { data, isPending } = useQuery(queries.recentEvents(subject));
  const events = useMemo(() => {
    const known = new Map<bigint, Event>();
    for (const event of [...recent, ...(data?.events ?? [])])
      if ((subject === "" || event.subject === subject) && fits(event)) known.set(event.sequence, event);
    return [...known.values()].sort((a, b) => Number(b.sequence - a.sequence));
  }, [recent, data, fits, subject]);
  return { events, isPending, older: data?.nextPageToken ?? "" };
}
