// EventService: a page of the stream, or the stream itself.

import { fault } from "@aether/contract";
import { EventService } from "@aether/contract/gen/aether/v2/signal_pb";
import type { ConnectRouter } from "@connectrpc/connect";
import { begun } from "../http/begun.ts";
import { cutPage, parseNumberPage } from "../http/page-request.ts";
import { both } from "./both.ts";
import type { ChangesHub } from "./changes.ts";
import type { Events } from "./events.ts";

export function eventRoutes(events: Events, changes: ChangesHub): (router: ConnectRouter) => void {
  return (router) =>
    router.service(EventService, {
      async listEvents(request) {
        const { limit, after } = parseNumberPage(request.page);
        const found = await events.list({ after, subject: request.subject, limit: limit + 1, isNewestFirst: request.newestFirst });
        const { rows, nextPageToken } = cutPage(found, limit, ({ sequence }) => String(sequence));
        return { events: rows, nextPageToken };
      },
      async *watchEvents(request, context) {
        const { after, subject } = request;
        if (after < 0n || after > BigInt(Number.MAX_SAFE_INTEGER)) {
          throw fault("INVALID_ARGUMENT", "after must be the sequence of an event", { field: "after" });
        }
        const follow = (signal: AbortSignal) => events.watch({ after: Number(after), subject, onBegun: () => begun(context) }, signal);
        if (!request.changes) {
          for await (const event of follow(context.signal)) yield { event };
          return;
        }
        for await (const each of both(follow, (signal) => changes.watch(request, signal), context.signal)) {
          yield each.from === "first" ? { event: each.value } : { changes: each.value };
        }
      },
    });
}
