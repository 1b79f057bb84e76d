// aether plan NODE...
import type { Command } from "commander";
import { action, collect, wholeNumber, withCommon } from "../options.ts";

export function registerPlan(program: Command): void {
  withCommon(program.command("plan [node...]"))
    .description("what would happen if these nodes were given notice now; nothing is changed")
    .option("--pool <pool>", "and all nodes of this pool (TYPE/ZONE); may be repeated", collect)
    .option("--window <seconds>", "from the notice to the end", wholeNumber(1, 86_400), 120)
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether plan n1\n  $ aether plan --pool m6i.large/us-east-1a --window 60\n  $ aether plan n1 n2 --json",
    )
    .action(
      action(async ({ core, output, signal }, nodeIds: string[], options: { pool?: string[]; window: number }) => {
        if (nodeIds.length === 0 && options.pool === undefined) {
          const { fault } = await import("@aether/contract");
          throw fault("INVALID_ARGUMENT", "which nodes? Name them, or a --pool", { field: "node", hint: "aether nodes lists them." });
        }
        const { PlanService, WavePlanSchema } = await import("@aether/contract/gen/aether/v2/plan_pb");
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { duration } = await import("../render/units.ts");
        const request = { nodeIds, pools: options.pool ?? [], windowSeconds: options.window };
        const { plan } = await (await core()).client(PlanService).planWave(request, { signal, timeoutMs: 30_000 });
        output.result(toPlain(WavePlanSchema, plan ?? {}), () => {
          const table = renderTable(
            plan?.moves ?? [],
            [
              { title: "WORKLOAD", cell: (m) => m.workload },
              { title: "FROM", cell: (m) => m.sourceNodeId },
              { title: "ACTION", cell: (m) => m.action },
              { title: "TO", cell: (m) => m.targetNodeId || "-" },
              { title: "PRIORITY", align: "right", cell: (m) => String(m.priority) },
              { title: "BEGINS", align: "right", cell: (m) => duration(m.startsAfterMs) },
              { title: "SAFE", align: "right", cell: (m) => (m.safeAfterMs > 0 ? duration(m.safeAfterMs) : "-") },
              { title: "", cell: (m) => (m.action === "move" ? m.guards.map(({ detail }) => detail).join("; ") : m.reason) },
            ],
            output.width,
            "",
          );
          return `${table}${table === "" ? "" : "\n"}${plan?.summary ?? ""}`;
        });
      }),
    );
}
