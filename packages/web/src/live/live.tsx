// Follows the stream for the whole page: makes queries old, keeps the newest events, and says how the connection is.
import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { api } from "../api/clients.ts";
import { createInvalidator } from "./invalidate.ts";
import { type Connection, createWish, followEvents, type Wish } from "./stream.ts";

interface Live {
  readonly connection: Connection;
  /** Newest first, since the page was opened. */
  readonly recent: readonly Event[];
}

const LiveContext = createContext<Live>({ connection: "connecting", recent: [] });
const FleetContext = createContext<Wish>(createWish());
const kept = 200;

export function LiveProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [connection, setConnection] = useState<Connection>("connecting");
  const [recent, setRecent] = useState<readonly Event[]>([]);
  const [fleet] = useState(createWish);
  useEffect(() => {
    const ending = new AbortController();
    const invalidator = createInvalidator(client, async (id) => (await api.nodes.getNode({ id })).node);
    let wasLive = false;
    void followEvents(
      {
        onEvent(event) {
          invalidator.note(event);
          setRecent((before) => [event, ...before].slice(0, kept));
        },
        onChanges: (changes) => invalidator.changed(changes),
        fleet,
        onConnection(next) {
          setConnection(next);
          if (next === "refused") void client.invalidateQueries({ queryKey: ["caller"] });
          // What happened before the stream was open, or in the gap, may have been forgotten by the server.
          if (next === "live") {
            if (wasLive) invalidator.all();
            wasLive = true;
          }
        },
      },
      ending.signal,
    );
    return () => ending.abort();
  }, [client, fleet]);
  return (
    <FleetContext value={fleet}>
      <LiveContext value={{ connection, recent }}>{children}</LiveContext>
    </FleetContext>
  );
}

/** What nodes use is shown here: it comes along with the stream while this is on the page. */
export function useFleetLive(): void {
  const fleet = useContext(FleetContext);
  useEffect(() => fleet.want(), [fleet]);
}

export const useLive = (): Live => useContext(LiveContext);
