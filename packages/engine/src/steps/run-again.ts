// Back to where a workload was: it runs again on its source, with its network. Asked for by a rollback, by a freeze that fails, and after a restart.
import { fault } from "@aether/contract";
import { endGuard } from "../checkpoint/guard.ts";
import { endOrphanedCriu, mendTasks, removeDumpMounts } from "../checkpoint/leftovers.ts";
import type { MigrationRef, Progress } from "../engine.ts";
import type { Host } from "../host.ts";
import { leadHere } from "../network/workload-network.ts";
import { readRecord, requireRecord, type WorkloadRecord, writeRecord } from "../record.ts";
import { thaw } from "../runtime/cgroup.ts";
import { isAlive } from "../runtime/process.ts";
import { imagesDir, listMigrations, phase, writeMigration } from "./journal.ts";

/** The record of a workload that runs here in this epoch. Throws STALE_EPOCH, WORKLOAD_NOT_RUNNING. */
export async function requireRunning(host: Host, ref: MigrationRef): Promise<WorkloadRecord> {
  const record = await requireRecord(host, ref.workload);
  if (record.epoch !== ref.epoch) throw fault("STALE_EPOCH", `${ref.workload} is in epoch ${record.epoch}, not ${ref.epoch}`);
  if (record.phase !== "running") throw fault("WORKLOAD_NOT_RUNNING", `${ref.workload} is ${record.phase}`);
  return record;
}

/** The workload runs again with its network. Safe when it was never frozen; where a person has decided for this copy (`newEpoch`), it must be there. */
export async function runAgain(host: Host, ref: MigrationRef, progress: Progress, newEpoch?: number): Promise<void> {
  const record = newEpoch === undefined ? await readRecord(host, ref.workload) : await requireRecord(host, ref.workload);
  if (newEpoch !== undefined && record?.phase === "running") return writeRecord(host, { ...record, epoch: newEpoch });
  if (newEpoch !== undefined && record?.phase !== "frozen")
    throw fault("WORKLOAD_NOT_RUNNING", `${ref.workload} is ${record?.phase} here, not frozen`);
  if (record === undefined || record.phase !== "frozen" || record.migrationId !== ref.migrationId) return;
  await phase(progress, "thaw.source", async () => {
    await endOrphanedCriu(host, ref.migrationId);
    if (await isAlive(record)) {
      await mendTasks(host, record, imagesDir(host, ref.migrationId));
      await removeDumpMounts(host, record);
      await leadHere(host, ref.workload, record.spec.address); // before the thaw: its first packet must find a way
      await thaw(host, ref.workload);
    } // else it died in the freeze (the machine was started anew): who looks at running workloads will see it
    const { migrationId: _, ...rest } = record;
    await writeRecord(host, { ...rest, phase: "running", epoch: newEpoch ?? record.epoch });
  });
}

/**
 * After a restart: a freeze that had not ended was told to nobody, so its workload runs again without being asked for (the guard has done most
 * of it already). One that had ended stays as it is: it may have been committed elsewhere.
 */
export async function recoverSources(host: Host): Promise<void> {
  for (const migration of await listMigrations(host)) {
    if (migration.side !== "source" || migration.stage !== "freezing") continue;
    try {
      if (migration.guardPid !== undefined) await endGuard(migration.guardPid);
      await runAgain(host, migration, { phase: () => undefined, bytes: () => undefined });
      await writeMigration(host, { ...migration, stage: "thawed" });
    } catch (caught) {
      host.options.log.error({ err: caught, workload: migration.workload }, "source.recover"); // a thaw will be asked for
    }
  }
}
