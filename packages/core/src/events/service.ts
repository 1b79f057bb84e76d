// EventService: a page of the stream, or the stream itself.

import { fault } from "@aether/contract";
import { EventService } from "@aether/contract/gen/aether/v2/signal_pb";
import type { ConnectRouter } from "@connectrpc/connect";
import { begun } from "../http/begun.ts";
import { cutPage, parseNumberPage } from "../http/page-request.ts";
import type { Events } from "./events.ts";

export function eventRoutes(events: Events): (router: ConnectRouter) => void {
  return (router) =>
    router.service(EventService, {
      async listEvents(request) {
        const { limit, after } = parseNumberPage(request.page);
        const found = await events.list({ after, subject: request.subject, limit: limit + 1, isNewestFirst: request.newestFirst });
        const { rows, nextPageToken } = cutPage(found, limit, ({ sequence }) => String(sequence));
        return { events: rows, nextPageToken };
      },
      async *watchEvents({ after, subject }, context) {
        if (after < 0n || after > BigInt(Number.MAX_SAFE_INTEGER)) {
          throw fault("INVALID_ARGUMENT", "after must be the sequence of an event", { field: "after" });
        }
        for await (const event of events.watch({ after: Number(after), subject, onBegun: () => begun(context) }, context.signal))
          yield { event };
      },
    });
}
