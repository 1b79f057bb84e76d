// aether certificate [NAME]
import type { Certificate } from "@aether/contract/gen/aether/v2/certificate_pb";
import type { Command } from "commander";
import { action, withCommon } from "../options.ts";

export function registerCertificate(program: Command): void {
  withCommon(program.command("certificate [name]"))
    .description("would a workload survive a reclaim of its node, now? of one in full, or of all")
    .option("--history", "how its certificate changed, the newest first")
    .addHelpText(
      "after",
      "\ngreen  everything that matters was measured, and it fits with room to spare" +
        "\namber  it should fit, but something was assumed, is old, or leaves little room" +
        "\nred    it would not make it; each blocker says how to mend that" +
        "\n\nExamples:\n  $ aether certificate\n  $ aether certificate db\n  $ aether certificate db --history --json",
    )
    .action(
      action(async ({ core, output, signal }, name: string | undefined, options: { history?: boolean }) => {
        const { CertificateSchema, CertificateService, ListCertificateHistoryResponseSchema, ListCertificatesResponseSchema, Verdict } =
          await import("@aether/contract/gen/aether/v2/certificate_pb");
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { ago, duration, word } = await import("../render/units.ts");
        const client = (await core()).client(CertificateService);
        const nowMs = Date.now();
        if (name !== undefined && options.history === true) {
          const answer = await client.listCertificateHistory({ workload: name, page: { pageSize: 100 } }, { signal, timeoutMs: 15_000 });
          return output.result(toPlain(ListCertificateHistoryResponseSchema, answer), () =>
            renderTable(
              answer.changes,
              [
                { title: "WHEN", cell: (c) => ago(c.at, nowMs) },
                { title: "VERDICT", cell: (c) => word(Verdict, c.verdict) },
                { title: "FROM", cell: (c) => c.nodeId },
                { title: "TO", cell: (c) => c.targetNodeId || "-" },
                { title: "FREEZE", align: "right", cell: (c) => duration(c.freezeMs) },
                { title: "SAFE IN", align: "right", cell: (c) => duration(c.timeToSafeMs) },
                { title: "", cell: (c) => c.codes.join(", ") },
              ],
              output.width,
              `${name} has no history yet`,
            ),
          );
        }
        if (name !== undefined) {
          const { certificate } = await client.getCertificate({ workload: name }, { signal, timeoutMs: 15_000 });
          const { describeCertificate } = await import("../render/certificate.ts");
          return output.result(toPlain(CertificateSchema, certificate ?? {}), () =>
            certificate ? describeCertificate(certificate, nowMs) : "",
          );
        }
        const { everyPage } = await import("../pages.ts");
        const list: Certificate[] = await everyPage(async (page) => {
          const answer = await client.listCertificates({ page }, { signal, timeoutMs: 15_000 });
          return { items: answer.certificates, nextPageToken: answer.nextPageToken };
        });
        // A workload has its first certificate some seconds after it was started.
        const { WorkloadService } = await import("@aether/contract/gen/aether/v2/workload_pb");
        const isAnyThere = async () => {
          const workloads = (await core()).client(WorkloadService);
          return (await workloads.listWorkloads({ page: { pageSize: 1 } }, { signal, timeoutMs: 15_000 })).workloads.length > 0;
        };
        const isAwaited = list.length === 0 && (await isAnyThere());
        output.result(toPlain(ListCertificatesResponseSchema, { certificates: list }), () =>
          renderTable(
            list,
            [
              { title: "WORKLOAD", cell: (c) => c.workload },
              { title: "VERDICT", cell: (c) => word(Verdict, c.verdict) },
              { title: "FROM", cell: (c) => c.nodeId },
              { title: "TO", cell: (c) => c.targetNodeId || "-" },
              { title: "FREEZE", align: "right", cell: (c) => duration(c.freezeMs?.expected ?? 0) },
              { title: "SAFE IN", align: "right", cell: (c) => duration(c.timeToSafeMs?.expected ?? 0) },
              { title: "SINCE", cell: (c) => ago(c.since, nowMs) },
              { title: "", cell: (c) => [...c.blockers, ...c.warnings].map(({ code }) => code).join(", ") },
            ],
            output.width,
            isAwaited
              ? "Nothing is certified yet. A workload that runs is within some seconds: ask again."
              : "Nothing runs, so nothing is certified. Start a workload: aether run NAME -- COMMAND",
          ),
        );
      }),
    );
}
