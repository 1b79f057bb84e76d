// The cluster's snapshot key, and from it a key for each workload. The cluster key never leaves this process and its file; a node gets the key of a
// workload with the command that needs it, as the command leaves: it is never stored with one.
import { createHash, hkdfSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { type Command, type SnapshotKey, SnapshotKeySchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { readTextIfThere, writeFileAtomic } from "@aether/kit";
import { create } from "@bufbuild/protobuf";

export interface SnapshotKeys {
  of(workload: string): SnapshotKey;
  /** The command as it is sent. */
  complete(command: Command): Command;
}

/** Opens snapshot.key (32 random bytes, hexadecimal, 0600) in the directory, or makes it. Throws CONFIG_INVALID when it is something else. */
export async function openSnapshotKeys(dir: string): Promise<SnapshotKeys> {
  const file = join(dir, "snapshot.key");
  const stored = await readTextIfThere(file);
  const text = stored?.trim() ?? randomBytes(32).toString("hex");
  if (!/^[0-9a-f]{64}$/.test(text))
    throw fault("CONFIG_INVALID", `${file} must hold 64 hexadecimal digits: the key that every snapshot is kept under`, {
      hint: "Bring back the file from a backup; without it no snapshot can be restored.",
    });
  if (stored === undefined) await writeFileAtomic(file, `${text}\n`);
  const cluster = Buffer.from(text, "hex");
  const id = createHash("sha256").update("aether snapshot key id").update(cluster).digest("hex").slice(0, 16);

  const of = (workload: string): SnapshotKey =>
    create(SnapshotKeySchema, { id, key: new Uint8Array(hkdfSync("sha256", cluster, "", `aether snapshots of ${workload}`, 32)) });

  return {
    of,
    complete(command) {
      const { action } = command;
      if (action.case === "createSnapshot")
        return { ...command, action: { ...action, value: { ...action.value, key: of(command.workload) } } };
      if (action.case === "restoreSnapshot")
        return { ...command, action: { ...action, value: { ...action.value, key: of(command.workload) } } };
      return command;
    },
  };
}
