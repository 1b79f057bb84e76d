// aether snapshots download|upload
import type { Command } from "commander";
import { action, withCommon } from "../options.ts";

const sayEveryMs = 2_000;
const pieceBytes = 256 << 10;

export function registerArtifacts(snapshots: Command): void {
  withCommon(snapshots.command("download <snapshot>"))
    .description("a snapshot as one file, encrypted as it is in the store; an interrupted download goes on where it was")
    .option("-o, --output <file>", "by default SNAPSHOT.aether")
    .addHelpText(
      "after",
      "\nOnly a cluster with the same snapshot.key can restore it.\n\nExamples:\n  $ aether snapshots download snap-… -o db.aether",
    )
    .action(
      action(async ({ core, output, signal }, id: string, flags: { output?: string }) => {
        const { ArtifactService } = await import("@aether/contract/gen/aether/v2/artifact_pb");
        const { SnapshotService } = await import("@aether/contract/gen/aether/v2/snapshot_pb");
        const { fault } = await import("@aether/contract");
        const { constants } = await import("node:fs");
        const { open, rename, rm } = await import("node:fs/promises");
        const connection = await core();
        const { snapshot } = await connection.client(SnapshotService).getSnapshot({ id }, { signal, timeoutMs: 15_000 });
        const workload = snapshot?.spec?.name ?? "";
        const file = flags.output ?? `${id}.aether`;
        const draft = `${file}.part`;
        // A link in its place is not followed: in a folder that others write in it might be theirs.
        const flag = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
        const out = await open(draft, flag, 0o600).catch((cause: unknown) => {
          throw fault("INVALID_ARGUMENT", `${file} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`, {
            field: "output",
            cause,
          });
        });
        const offset = (await out.stat()).size;
        if (offset > 0) output.say(`${draft}: ${offset} bytes are here already`);
        let [total, sha256, size, saidMs] = [0, "", offset, performance.now()];
        try {
          for await (const each of connection
            .client(ArtifactService)
            .downloadArtifact({ workload, snapshot: id, offset: BigInt(offset) }, { signal })) {
            if (each.sha256 !== "") [total, sha256] = [Number(each.totalBytes), each.sha256];
            size += each.data.length;
            await out.appendFile(each.data);
            if (performance.now() - saidMs < sayEveryMs) continue;
            saidMs = performance.now();
            output.say(`${size} of ${total} bytes`);
          }
        } finally {
          await out.close();
        }
        if ((await sha256Of(draft)) !== sha256) {
          await rm(draft);
          throw fault("DIGEST_MISMATCH", `${draft} is not what was sent: it is removed`, { hint: "Download it again." });
        }
        await rename(draft, file);
        output.result({ file, bytes: size, sha256 }, () => `${file}: ${size} bytes, sha256 ${sha256}`);
      }),
    );
  withCommon(snapshots.command("upload <file>"))
    .description("such a file back into the store; an interrupted upload goes on where it was")
    .requiredOption("--workload <name>", "whose snapshot it is")
    .addHelpText("after", "\nExamples:\n  $ aether snapshots upload db.aether --workload db\n  $ aether restore snap-…")
    .action(
      action(async ({ core, output, signal }, file: string, flags: { workload: string }) => {
        const { ArtifactService, UploadArtifactResponseSchema } = await import("@aether/contract/gen/aether/v2/artifact_pb");
        const { createReadStream } = await import("node:fs");
        const { stat } = await import("node:fs/promises");
        const { toPlain } = await import("../plain.ts");
        const { fault } = await import("@aether/contract");
        const { size } = await stat(file).catch((cause: unknown) => {
          throw fault("INVALID_ARGUMENT", `${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, {
            field: "file",
            cause,
          });
        });
        const sha256 = await sha256Of(file);
        const client = (await core()).client(ArtifactService);
        const uploadId = sha256.slice(0, 32);
        const { workload } = flags;
        const { receivedBytes } = await client.getArtifactUpload({ workload, uploadId }, { signal, timeoutMs: 15_000 });
        if (receivedBytes > 0n) output.say(`${receivedBytes} bytes are there already`);
        const answer = await client.uploadArtifact(
          (async function* () {
            yield { workload, uploadId, offset: receivedBytes, sha256 };
            let [sent, saidMs] = [Number(receivedBytes), performance.now()];
            for await (const chunk of createReadStream(file, { start: sent, highWaterMark: pieceBytes })) {
              yield { data: new Uint8Array(chunk as Buffer) };
              sent += (chunk as Buffer).length;
              if (performance.now() - saidMs < sayEveryMs) continue;
              saidMs = performance.now();
              output.say(`${sent} of ${size} bytes`);
            }
          })(),
          { signal },
        );
        output.result(
          toPlain(UploadArtifactResponseSchema, answer),
          () => `${answer.snapshot?.id} is in the store: aether restore ${answer.snapshot?.id}`,
        );
      }),
    );
}

async function sha256Of(file: string): Promise<string> {
  const { createHash } = await import("node:crypto");
  const { createReadStream } = await import("node:fs");
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
