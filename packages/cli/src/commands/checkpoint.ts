// aether checkpoint NAME
import type { Command } from "commander";
import { action, withCommon } from "../options.ts";

export function registerCheckpoint(program: Command): void {
  withCommon(program.command("checkpoint <name>"))
    .description("take a snapshot of a running workload; it runs on")
    .option("--any-freeze", "however long it stops the workload, whatever its objective (--max-freeze of aether run) says")
    .addHelpText("after", "\nExamples:\n  $ aether checkpoint db\n  $ aether checkpoint db --any-freeze --json")
    .action(
      action(async ({ core, output, signal }, name: string, flags: { anyFreeze?: boolean }) => {
        const { SnapshotSchema, SnapshotService } = await import("@aether/contract/gen/aether/v2/snapshot_pb");
        const { toPlain } = await import("../plain.ts");
        const { bytes, duration } = await import("../render/units.ts");
        const answer = await (await core())
          .client(SnapshotService)
          .createSnapshot({ workload: name, anyFreeze: flags.anyFreeze === true }, { signal, timeoutMs: 300_000 });
        const snapshot = answer.snapshot;
        output.result(toPlain(SnapshotSchema, snapshot ?? {}), () =>
          snapshot === undefined
            ? ""
            : `${snapshot.id}: ${bytes(snapshot.bytes)}, of which ${bytes(snapshot.storedBytes)} were written (${snapshot.newChunkCount} of ${snapshot.chunkCount} chunks are new), frozen for ${duration(snapshot.freezeMs)} (${bytes(snapshot.freezeBytes)} of memory were read meanwhile)\n${bytes(snapshot.readBytes)} were read, ${snapshot.sinceSnapshotId === "" ? `all of its memory: ${snapshot.wholeBecause}` : `of its memory what was written since ${snapshot.sinceSnapshotId}`}; ${duration(snapshot.cpuSeconds * 1000)} of CPU\nRestore it: aether restore ${snapshot.id}`,
        );
      }),
    );
}
