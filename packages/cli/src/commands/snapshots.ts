// aether snapshots [NAME]
import type { Snapshot } from "@aether/contract/gen/aether/v2/snapshot_pb";
import type { Command } from "commander";
import type { Core } from "../client.ts";
import { action, withCommon } from "../options.ts";
import { registerArtifacts } from "./snapshot-files.ts";

/** One line: the objective in force, and what a loss would have cost at the worst moment between the snapshots that are kept. */
async function riskOf(core: Core, name: string, list: readonly Snapshot[], signal: AbortSignal): Promise<string> {
  const { PolicyService } = await import("@aether/contract/gen/aether/v2/policy_pb");
  const { duration } = await import("../render/units.ts");
  const worstMs = Math.max(0, ...list.map(({ exposedMs }) => exposedMs));
  // A workload that is gone has snapshots still, and no settings.
  const answer = await core
    .client(PolicyService)
    .getWorkloadPolicy({ workload: name }, { signal, timeoutMs: 15_000 })
    .catch(() => undefined);
  const objective = answer?.settings.find((setting) => setting.name === "rpo_seconds");
  const words = [
    ...(objective === undefined ? [] : [`objective: ${objective.value} (${objective.source})`]),
    ...(worstMs > 0 ? [`at worst ${duration(worstMs)} of work stood at risk before one of these was whole`] : []),
  ];
  return words.length === 0 ? "" : `${words.join("; ")}\n`;
}

export function registerSnapshots(program: Command): void {
  const snapshots = withCommon(program.command("snapshots [name]"))
    .description("list snapshots, of one workload or of all")
    .addHelpText("after", "\nExamples:\n  $ aether snapshots\n  $ aether snapshots db\n  $ aether snapshots rm snap-…")
    .action(
      action(async ({ core, output, signal }, name: string | undefined) => {
        const { ListSnapshotsResponseSchema, SnapshotService, SnapshotState } = await import("@aether/contract/gen/aether/v2/snapshot_pb");
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { ago, bytes, duration, word } = await import("../render/units.ts");
        const { everyPage } = await import("../pages.ts");
        const client = (await core()).client(SnapshotService);
        const list: Snapshot[] = await everyPage(async (page) => {
          const answer = await client.listSnapshots({ page, workload: name ?? "" }, { signal, timeoutMs: 15_000 });
          return { items: answer.snapshots, nextPageToken: answer.nextPageToken };
        });
        const nowMs = Date.now();
        /** With what it was allowed, where it was more. */
        const pauseOf = ({ freezeMs, maxFreezeMs }: Snapshot) =>
          freezeMs <= 0
            ? "-"
            : `${duration(freezeMs)}${maxFreezeMs > 0 && freezeMs > maxFreezeMs ? ` (over ${duration(maxFreezeMs)})` : ""}`;
        const risk = name === undefined ? "" : await riskOf(await core(), name, list, signal);
        output.result(
          toPlain(ListSnapshotsResponseSchema, { snapshots: list }),
          () =>
            risk +
            renderTable(
              list,
              [
                { title: "ID", cell: (s) => s.id },
                { title: "WORKLOAD", cell: (s) => s.spec?.name ?? "" },
                { title: "STATE", cell: (s) => word(SnapshotState, s.state) },
                { title: "SIZE", align: "right", cell: (s) => bytes(s.bytes) },
                {
                  title: "READ",
                  align: "right",
                  cell: (s) => (s.readBytes > 0n ? `${bytes(s.readBytes)}${s.sinceSnapshotId === "" ? "" : " Δ"}` : "-"),
                },
                { title: "WRITTEN", align: "right", cell: (s) => (s.storedBytes > 0n ? bytes(s.storedBytes) : "-") },
                { title: "PAUSE", align: "right", cell: (s) => pauseOf(s) },
                { title: "CPU", align: "right", cell: (s) => (s.cpuSeconds > 0 ? duration(s.cpuSeconds * 1000) : "-") },
                { title: "AT RISK", align: "right", cell: (s) => (s.exposedMs > 0 ? duration(s.exposedMs) : "-") },
                { title: "NODE", cell: (s) => s.nodeId },
                { title: "EPOCH", align: "right", cell: (s) => String(s.epoch) },
                { title: "TAKEN", cell: (s) => ago(s.createdAt, nowMs) },
                { title: "VERIFIED", cell: (s) => (s.verifiedAt ? ago(s.verifiedAt, nowMs) : "-") },
                { title: "KEPT", cell: (s) => s.retention },
                { title: "", cell: (s) => s.error?.message ?? "" },
              ],
              output.width,
              "There is no snapshot. Take one: aether checkpoint NAME",
            ),
        );
      }),
    );
  registerArtifacts(snapshots);
  const one = (verb: string, description: string, done: (id: string) => string, ask: "pinSnapshot" | "unpinSnapshot" | "verifySnapshot") =>
    withCommon(snapshots.command(`${verb} <snapshot>`))
      .description(description)
      .addHelpText("after", `\nExamples:\n  $ aether snapshots ${verb} snap-…`)
      .action(
        action(async ({ core, output, signal }, id: string, options: { reason?: string }) => {
          const { SnapshotSchema, SnapshotService } = await import("@aether/contract/gen/aether/v2/snapshot_pb");
          const { toPlain } = await import("../plain.ts");
          const client = (await core()).client(SnapshotService);
          const timeoutMs = ask === "verifySnapshot" ? 600_000 : 15_000;
          const answer = await client[ask](
            { id, ...(options.reason === undefined ? {} : { reason: options.reason }) },
            { signal, timeoutMs },
          );
          output.result(toPlain(SnapshotSchema, answer.snapshot ?? {}), () => done(id));
        }),
      );
  one("pin", "keep a snapshot whatever its age", (id) => `${id} is kept until it is unpinned`, "pinSnapshot").option(
    "--reason <text>",
    "why, for whoever finds it",
  );
  one("unpin", "let retention have a snapshot again", (id) => `${id} is kept as long as retention keeps it`, "unpinSnapshot");
  one(
    "verify",
    "read every byte of a snapshot and compare it with its manifest",
    (id) => `${id} is as its manifest says`,
    "verifySnapshot",
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
