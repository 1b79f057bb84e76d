// aether events
import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import type { Command } from "commander";
import { action, wholeNumber, withCommon } from "../options.ts";

export function registerEvents(program: Command): void {
  withCommon(program.command("events"))
    .description("what happened, in order; with -f, as it happens")
    .option(
      "-f, --follow",
      "go on with each new event, also after a restart of the control plane; Ctrl-C ends. With --json: one JSON document a line",
    )
    .option(
      "--after <sequence>",
      "with -f: from after this event on, so that nothing between two runs is missed",
      wholeNumber(1, Number.MAX_SAFE_INTEGER),
    )
    .option("--subject <subject>", "only those about e.g. workload/db or node/n1")
    .option("--limit <count>", "at most so many of the past, the newest", wholeNumber(1, 10_000), 50)
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether events\n  $ aether events -f\n  $ aether events -f --json --after 4711\n  $ aether events --subject workload/db --json",
    )
    .action(
      action(async ({ core, output, signal }, options: { follow?: boolean; after?: number; subject?: string; limit: number }) => {
        const { EventService, ListEventsResponseSchema } = await import("@aether/contract/gen/aether/v2/signal_pb");
        const { EventSchema } = await import("@aether/contract/gen/aether/v2/common_pb");
        const { toPlain } = await import("../plain.ts");
        const { everyPage } = await import("../pages.ts");
        const { instant } = await import("../render/units.ts");
        const client = (await core()).client(EventService);
        const subject = options.subject ?? "";
        const line = (event: Event) =>
          `${instant(event.at)}  ${event.type.padEnd(28)}  ${event.subject.padEnd(16)}  ${event.message.replace(/\p{Cc}/gu, " ")}\n`;
        if (options.follow !== true) {
          const events: Event[] = await everyPage(async (page) => {
            const answer = await client.listEvents({ page, subject, newestFirst: true }, { signal, timeoutMs: 15_000 });
            return { items: answer.events, nextPageToken: answer.nextPageToken };
          }, options.limit);
          events.reverse();
          output.result(toPlain(ListEventsResponseSchema, { events }), () => events.map(line).join("") || "Nothing happened yet.");
          return;
        }
        const { followEvents } = await import("../follow-events.ts");
        await followEvents(client, { after: BigInt(options.after ?? 0), subject }, signal, {
          event: (event) => output.stream(output.isJson ? `${JSON.stringify(toPlain(EventSchema, event))}\n` : line(event)),
          say: output.say,
        });
      }),
    );
}
