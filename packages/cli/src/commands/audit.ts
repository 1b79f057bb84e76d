// aether audit
import type { AuditEntry } from "@aether/contract/gen/aether/v2/signal_pb";
import { type Command, InvalidArgumentError, Option } from "commander";
import { ExitWith } from "../exit-with.ts";
import { action, wholeNumber, withCommon } from "../options.ts";

interface KnownPlace {
  readonly knownSequence: bigint;
  readonly knownHash: string;
}

function knownPlace(text: string): KnownPlace {
  const match = /^([1-9]\d{0,14}):([0-9a-f]{64})$/.exec(text);
  if (match === null) throw new InvalidArgumentError("SEQUENCE:HASH, as --verify prints it");
  return { knownSequence: BigInt(match[1] ?? ""), knownHash: match[2] ?? "" };
}

interface AuditFlags {
  readonly verify?: boolean;
  readonly known?: KnownPlace;
  readonly by?: string;
  readonly on?: string;
  readonly action?: string;
  readonly outcome?: string;
  readonly limit: number;
}

export function registerAudit(program: Command): void {
  withCommon(program.command("audit").argument("[number]", "one entry in full", wholeNumber(1, 1e12)))
    .description("who did what, from where, and what differed: an append-only chain; all, the newest first, or one entry in full")
    .option("--verify", "walk the chain instead; exit 1 if it is broken")
    .option("--known <sequence:hash>", "with --verify: a place that --verify printed before, kept elsewhere", knownPlace)
    .option("--by <actor>", "only what this one did, e.g. account/ada")
    .option("--on <subject>", "only what was done to it, e.g. workload/db")
    .option("--action <name>", "only these, e.g. access.denied")
    .addOption(new Option("--outcome <outcome>", "only these").choices(["ok", "denied", "failed"]))
    .option("--limit <count>", "at most so many", wholeNumber(1, 10_000), 50)
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether audit\n  $ aether audit 812                       # what it was before and after\n  $ aether audit --outcome denied\n  $ aether audit --on workload/db --by account/ada\n  $ aether audit --verify --json\n  $ aether audit --verify --known 812:5f2c…   # also finds a chain that was written anew",
    )
    .action(
      action(async ({ core, output, signal }, number: number | undefined, options: AuditFlags) => {
        const { AuditEntrySchema, AuditService, ListAuditResponseSchema, VerifyAuditResponseSchema } = await import(
          "@aether/contract/gen/aether/v2/signal_pb"
        );
        const { toPlain } = await import("../plain.ts");
        const client = (await core()).client(AuditService);
        if (options.verify === true) {
          const answer = await client.verifyAudit(options.known ?? {}, { signal, timeoutMs: 120_000 });
          output.result(toPlain(VerifyAuditResponseSchema, answer), () =>
            answer.isIntact
              ? `intact: ${answer.entryCount} entries${answer.entryCount > 0n ? `\nlast: ${answer.entryCount}:${answer.lastHash}` : ""}`
              : `BROKEN at entry ${answer.brokenAtSequence}: ${answer.reason}`,
          );
          if (!answer.isIntact) throw new ExitWith(1);
          return;
        }
        if (number !== undefined) {
          const { entry } = await client.getAuditEntry({ sequence: BigInt(number) }, { signal, timeoutMs: 15_000 });
          const { describeEntry } = await import("../render/audit.ts");
          return output.result(toPlain(AuditEntrySchema, entry ?? {}), () => (entry === undefined ? "" : describeEntry(entry)));
        }
        const { renderTable } = await import("../render/table.ts");
        const { instant } = await import("../render/units.ts");
        const { changesOf } = await import("../render/audit.ts");
        const { everyPage } = await import("../pages.ts");
        const entries: AuditEntry[] = await everyPage(async (page) => {
          const { by = "", on = "", action: name = "", outcome = "" } = options;
          const request = { page, actor: by, subject: on, action: name, outcome };
          const answer = await client.listAudit(request, { signal, timeoutMs: 15_000 });
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
              { title: "CHANGED", cell: (e) => changesOf(e).join(", ") },
            ],
            output.width,
            "The audit has no such entry.",
          ),
        );
      }),
    );
}
