// aether audit
import type { AuditEntry } from "@aether/contract/gen/aether/v2/signal_pb";
import type { Command } from "commander";
import { ExitWith } from "../exit-with.ts";
import { action, wholeNumber, withCommon } from "../options.ts";

export function registerAudit(program: Command): void {
  withCommon(program.command("audit"))
    .description("who did what: an append-only chain, each entry's hash over the one before")
    .option("--verify", "walk the chain instead; exit 1 if it is broken")
    .option("--limit <count>", "at most so many", wholeNumber(1, 10_000), 50)
    .addHelpText("after", "\nExamples:\n  $ aether audit\n  $ aether audit --verify --json")
    .action(
      action(async ({ core, output, signal }, options: { verify?: boolean; limit: number }) => {
        const { AuditService, ListAuditResponseSchema, VerifyAuditResponseSchema } = await import(
          "@aether/contract/gen/aether/v2/signal_pb"
        );
        const { toPlain } = await import("../plain.ts");
        const client = (await core()).client(AuditService);
        if (options.verify === true) {
          const answer = await client.verifyAudit({}, { signal, timeoutMs: 120_000 });
          output.result(toPlain(VerifyAuditResponseSchema, answer), () =>
            answer.isIntact ? `intact: ${answer.entryCount} entries` : `BROKEN at entry ${answer.brokenAtSequence} of ${answer.entryCount}`,
          );
          if (!answer.isIntact) throw new ExitWith(1);
          return;
        }
        const { renderTable } = await import("../render/table.ts");
        const { instant } = await import("../render/units.ts");
        const { everyPage } = await import("../pages.ts");
        const entries: AuditEntry[] = await everyPage(async (page) => {
          const answer = await client.listAudit({ page }, { signal, timeoutMs: 15_000 });
          return { items: answer.entries, nextPageToken: answer.nextPageToken };
        }, options.limit);
        output.result(toPlain(ListAuditResponseSchema, { entries }), () =>
          renderTable(
            entries,
            [
              { title: "#", align: "right", cell: (e) => String(e.sequence) },
              { title: "WHEN", cell: (e) => instant(e.at) },
              { title: "WHO", cell: (e) => e.actor },
              { title: "FROM", cell: (e) => e.sourceAddress },
              { title: "WHAT", cell: (e) => e.action },
              { title: "ON", cell: (e) => e.subject },
              { title: "OUTCOME", cell: (e) => e.outcome },
            ],
            output.width,
            "The audit is empty.",
          ),
        );
      }),
    );
}
