// aether ps
import type { Workload } from "@aether/contract/gen/aether/v2/workload_pb";
import type { Command } from "commander";
import { action, withCommon } from "../options.ts";

export function registerPs(program: Command): void {
  withCommon(program.command("ps"))
    .description("list workloads: where each runs, in which epoch, how it is")
    .option("--node <node>", "only those of this node")
    .addHelpText("after", "\nExamples:\n  $ aether ps\n  $ aether ps --node n1 --json")
    .action(
      action(async ({ core, output, signal }, options: { node?: string }) => {
        const { ListWorkloadsResponseSchema, WorkloadService, WorkloadState } = await import("@aether/contract/gen/aether/v2/workload_pb");
        const { HealthState } = await import("@aether/contract/gen/aether/v2/common_pb");
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { ago, bytes, word } = await import("../render/units.ts");
        const { everyPage } = await import("../pages.ts");
        const client = (await core()).client(WorkloadService);
        const workloads: Workload[] = await everyPage(async (page) => {
          const answer = await client.listWorkloads({ page, nodeId: options.node ?? "" }, { signal, timeoutMs: 15_000 });
          return { items: answer.workloads, nextPageToken: answer.nextPageToken };
        });
        const nowMs = Date.now();
        output.result(toPlain(ListWorkloadsResponseSchema, { workloads }), () =>
          renderTable(
            workloads,
            [
              { title: "NAME", cell: (w) => w.spec?.name ?? "" },
              { title: "STATE", cell: (w) => word(WorkloadState, w.state) },
              { title: "HEALTH", cell: (w) => word(HealthState, w.health) },
              { title: "NODE", cell: (w) => w.nodeId || "-" },
              { title: "EPOCH", align: "right", cell: (w) => String(w.epoch) },
              { title: "ADDRESS", cell: (w) => w.spec?.address ?? "" },
              { title: "MEMORY", align: "right", cell: (w) => (w.usage?.measuredAt ? bytes(w.usage.memoryBytes) : "-") },
              { title: "TCP", align: "right", cell: (w) => (w.usage?.measuredAt ? String(w.usage.tcpEstablished) : "-") },
              { title: "STARTED", cell: (w) => ago(w.startedAt, nowMs) },
              { title: "", cell: (w) => w.migrationId || w.reason },
            ],
            output.width,
            "No workload runs. Start one: aether run db -- redis-server --bind 0.0.0.0 --protected-mode no",
          ),
        );
      }),
    );
}
