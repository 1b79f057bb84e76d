// Follows the stream for the whole page: makes queries old, keeps the newest events, and says how the connection is.
import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { createInvalidator } from "./invalidate.ts";
import { type Connection, followEvents } from "./stream.ts";

interface Live {
  readonly connection: Connection;
  /** Newest first, since the page was opened. */
  readonly recent: readonly Event[];
}

const LiveContext = createContext<Live>({ connection: "connecting", recent: [] });
const kept = 200;

export function LiveProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [connection, setConnection] = useState<Connection>("connecting");
  const [recent, setRecent] = useState<readonly Event[]>([]);
  useEffect(() => {
    const ending = new AbortController();
    const invalidator = createInvalidator(client);
    let wasLive = false;
    void followEvents(
      {
        onEvent(event) {
          invalidator.note(event);
          setRecent((before) => [event, ...before].slice(0, kept));
        },
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
  }, [client]);
  return <LiveContext value={{ connection, recent }}>{children}</LiveContext>;
}

export const useLive = (): Live => useContext(LiveContext);
