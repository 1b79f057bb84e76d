import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useState } from "react";
import { queries } from "../api/queries.ts";
import { EventList } from "../ui/events.tsx";
import { inputLook } from "../ui/fields.tsx";
import { Older } from "../ui/older.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { useRecentEvents } from "./recent.ts";

export function EventsPage() {
  const { subject = "" } = useSearch({ from: "/events" });
  const navigate = useNavigate({ from: "/events" });
  const fits = useCallback(
    (event: Event) => subject === "" || event.subject.includes(subject) || event.type.includes(subject) || event.message.includes(subject),
    [subject],
  );
  const { events: newest, isPending, older } = useRecentEvents(fits);
  const [isWanted, setWanted] = useState(false);
  const rest = useInfiniteQuery({ ...queries.olderEvents(older), enabled: isWanted && older !== "" });
  const events = [...newest, ...(rest.data?.pages ?? []).flatMap((page) => page.events).filter(fits)];
  const list =
    rest.data === undefined
      ? { hasNextPage: older !== "", isFetchingNextPage: rest.isFetching, fetchNextPage: async () => setWanted(true) }
      : rest;
  return (
    <Page title="Events" about="What happened, in order, as it happens. The command line has the same: aether events --follow.">
      <input
        type="search"
        aria-label="Only events with this text"
        placeholder="node/n1, migration, drill …"
        className={`${inputLook} mb-3 sm:max-w-72`}
        value={subject}
        onChange={(event) => void navigate({ search: event.target.value === "" ? {} : { subject: event.target.value }, replace: true })}
      />
      <Panel title="The newest" isFlush>
        {!isPending && events.length === 0 && <p className="px-4 py-6 text-soft">No event fits.</p>}
        <EventList events={events} />
        <Older list={list} text="Older events" />
      </Panel>
    </Page>
  );
}
