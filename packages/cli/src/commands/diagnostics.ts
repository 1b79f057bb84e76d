// aether diagnostics
import type { Command } from "commander";
import { action, wholeNumber, withCommon } from "../options.ts";

interface DiagnosticsFlags {
  readonly output?: string;
  readonly preview?: boolean;
  readonly includeSnapshots?: boolean;
  readonly maxSnapshots?: number;
  readonly maxSnapshotBytes?: number;
  readonly maxTotalSnapshotBytes?: number;
}

const most = Number.MAX_SAFE_INTEGER;

export function registerDiagnostics(program: Command): void {
  withCommon(program.command("diagnostics"))
    .description("one tar.gz for whoever helps you: state, decisions, events, audit; without tokens, keys, passwords and memory")
    .option("--preview", "say what would be in it, and make nothing")
    .option("-o, --output <file>", "where to; by default aether-diagnostics-TIME.tar.gz")
    .option("--include-snapshots", "also snapshots, encrypted as they are; without their keys")
    .option("--max-snapshots <count>", "at most so many", wholeNumber(1, 20))
    .option("--max-snapshot-bytes <bytes>", "larger ones are left out", wholeNumber(1, most))
    .option("--max-total-snapshot-bytes <bytes>", "in all", wholeNumber(1, most))
    .addHelpText("after", "\nExamples:\n  $ aether diagnostics --preview\n  $ aether diagnostics -o for-support.tar.gz")
    .action(
      action(async ({ core, output, signal }, flags: DiagnosticsFlags) => {
        const { GetDiagnosticsManifestResponseSchema, OpsService } = await import("@aether/contract/gen/aether/v2/ops_pb");
        const { toPlain } = await import("../plain.ts");
        const client = (await core()).client(OpsService);
        const limits = {
          includeSnapshots: flags.includeSnapshots === true,
          maxSnapshots: flags.maxSnapshots ?? 0,
          maxSnapshotBytes: BigInt(flags.maxSnapshotBytes ?? 0),
          maxTotalSnapshotBytes: BigInt(flags.maxTotalSnapshotBytes ?? 0),
        };
        if (flags.preview === true) {
          const { renderTable } = await import("../render/table.ts");
          const { bytes } = await import("../render/units.ts");
          const manifest = await client.getDiagnosticsManifest(limits, { signal, timeoutMs: 30_000 });
          output.result(toPlain(GetDiagnosticsManifestResponseSchema, manifest), () =>
            [
              renderTable(
                manifest.parts,
                [
                  { title: "FILE", cell: ({ name }) => name },
                  { title: "WHAT", cell: ({ what, note }) => (note === "" ? what : `${what}; ${note}`) },
                  { title: "ROWS", align: "right", cell: ({ count, isIncluded }) => (isIncluded ? String(count) : "left out") },
                ],
                output.width,
                "Nothing would be in it.",
              ),
              "",
              `About ${bytes(Number(manifest.estimatedBytes))} before compression. Never in it:`,
              ...manifest.leftOut.map((each) => `  ${each}`),
            ].join("\n"),
          );
          return;
        }
        const { saveStream } = await import("../save-stream.ts");
        const file = flags.output ?? `aether-diagnostics-${new Date().toISOString().slice(0, 19).replace(/:/g, "-")}.tar.gz`;
        const size = await saveStream(file, client.downloadDiagnostics(limits, { signal }), output.say);
        output.result({ file, bytes: size }, () => `${file}: ${size} bytes. Look into it before you send it: tar -tzf ${file}`);
      }),
    );
}
