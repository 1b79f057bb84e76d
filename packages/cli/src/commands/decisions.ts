// aether decisions
import type { Decision } from "@aether/contract/gen/aether/v2/signal_pb";
import type { Command } from "commander";
import { action, wholeNumber, withCommon } from "../options.ts";

export function registerDecisions(program: Command): void {
  withCommon(program.command("decisions [id]"))
    .description("what was decided on which signal, and why: all, the newest first, or one in full")
    .option("--node <node>", "only those about this node")
    .option("--limit <count>", "at most so many", wholeNumber(1, 10_000), 50)
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether decisions\n  $ aether decisions dec-…          # inputs, targets that were looked at, guard rails, alternatives\n  $ aether decisions --node n1 --json",
    )
    .action(
      action(async ({ core, output, signal }, id: string | undefined, options: { node?: string; limit: number }) => {
        const { DecisionSchema, DecisionService, ListDecisionsResponseSchema } = await import("@aether/contract/gen/aether/v2/signal_pb");
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { ago, duration } = await import("../render/units.ts");
        const { everyPage } = await import("../pages.ts");
        const client = (await core()).client(DecisionService);
        if (id !== undefined) {
          const { decision } = await client.getDecision({ id }, { signal, timeoutMs: 15_000 });
          const { describeDecision } = await import("../render/decision.ts");
          return output.result(toPlain(DecisionSchema, decision ?? {}), () => (decision ? describeDecision(decision) : ""));
        }
        const list: Decision[] = await everyPage(async (page) => {
          const answer = await client.listDecisions({ page, nodeId: options.node ?? "" }, { signal, timeoutMs: 15_000 });
          return { items: answer.decisions, nextPageToken: answer.nextPageToken };
        }, options.limit);
        const nowMs = Date.now();
        output.result(toPlain(ListDecisionsResponseSchema, { decisions: list }), () =>
          renderTable(
            list,
            [
              { title: "ID", cell: (d) => d.id },
              { title: "WHEN", cell: (d) => ago(d.at, nowMs) },
              { title: "NODE", cell: (d) => d.nodeId },
              { title: "RULE", cell: (d) => d.rule },
              { title: "ACTION", cell: (d) => d.action },
              { title: "AFTER", align: "right", cell: (d) => duration(d.sinceObservedMs || d.latencyMs) },
              {
                title: "MOVES",
                cell: (d) =>
                  d.moves.map((m) => (m.refusal ? `${m.workload}: ${m.refusal}` : `${m.workload} -> ${m.targetNodeId}`)).join(", "),
              },
              { title: "REASON", cell: (d) => d.reason },
            ],
            output.width,
            "Nothing was decided yet. Announce an interruption: aether drill start",
          ),
        );
      }),
    );
}
