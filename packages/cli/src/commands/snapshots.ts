// aether snapshots [NAME]
import type { Snapshot } from "@aether/contract/gen/aether/v2/snapshot_pb";
import type { Command } from "commander";
import { action, withCommon } from "../options.ts";

export function registerSnapshots(program: Command): void {
  const snapshots = withCommon(program.command("snapshots [name]"))
    .description("list snapshots, of one workload or of all")
    .addHelpText("after", "\nExamples:\n  $ aether snapshots\n  $ aether snapshots db\n  $ aether snapshots rm snap-…")
    .action(
      action(async ({ core, output, signal }, name: string | undefined) => {
        const { ListSnapshotsResponseSchema, SnapshotService, SnapshotState } = await import("@aether/contract/gen/aether/v2/snapshot_pb");
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { ago, bytes, word } = await import("../render/units.ts");
        const { everyPage } = await import("../pages.ts");
        const client = (await core()).client(SnapshotService);
        const list: Snapshot[] = await everyPage(async (page) => {
          const answer = await client.listSnapshots({ page, workload: name ?? "" }, { signal, timeoutMs: 15_000 });
          return { items: answer.snapshots, nextPageToken: answer.nextPageToken };
        });
        const nowMs = Date.now();
        output.result(toPlain(ListSnapshotsResponseSchema, { snapshots: list }), () =>
          renderTable(
            list,
            [
              { title: "ID", cell: (s) => s.id },
              { title: "WORKLOAD", cell: (s) => s.spec?.name ?? "" },
              { title: "STATE", cell: (s) => word(SnapshotState, s.state) },
              { title: "SIZE", align: "right", cell: (s) => bytes(s.bytes) },
              { title: "NODE", cell: (s) => s.nodeId },
              { title: "EPOCH", align: "right", cell: (s) => String(s.epoch) },
              { title: "TAKEN", cell: (s) => ago(s.createdAt, nowMs) },
              { title: "", cell: (s) => s.error?.message ?? "" },
            ],
            output.width,
            "There is no snapshot. Take one: aether checkpoint NAME",
          ),
        );
      }),
    );
  withCommon(snapshots.command("rm <snapshot>"))
    .description("delete a snapshot")
    .addHelpText("after", "\nExamples:\n  $ aether snapshots rm snap-…")
    .action(
      action(async ({ core, output, signal }, id: string) => {
        const { SnapshotService } = await import("@aether/contract/gen/aether/v2/snapshot_pb");
        await (await core()).client(SnapshotService).deleteSnapshot({ id }, { signal, timeoutMs: 30_000 });
        output.result({ id, isRemoved: true }, () => `${id} is deleted`);
      }),
    );
}
