// What a node says that it has, against what is on record. Pure: the answer is a list of things to do. At most one instance of a workload
// may run, so a copy of an older epoch is removed; what a migration has in hand is left to the migration.
import type { WorkloadStateText } from "../db/tables/workloads.ts";

export interface Reported {
  readonly name: string;
  readonly epoch: number;
  readonly phase: string;
  readonly migrationId: string;
}

export interface OnRecord {
  readonly name: string;
  /** The active placement. */
  readonly nodeId: string;
  readonly epoch: number;
  readonly state: WorkloadStateText;
  /** The migration that has it in hand now. */
  readonly migrationId: string | undefined;
}

export type Difference =
  /** The node runs what is placed elsewhere, or what nobody knows: to be removed there, in this epoch. */
  | { readonly kind: "stale"; readonly name: string; readonly epoch: number; readonly reason: string }
  /** On record here, and the node does not have it. */
  | { readonly kind: "missing"; readonly name: string; readonly reason: string };

/**
 * @param records every workload that the node reports or that is placed on it
 * @param knownMigrations ids of migrations on record, of those that the node names: a frozen or restored copy is theirs, also after their end
 */
export function compare(
  nodeId: string,
  reported: readonly Reported[],
  records: ReadonlyMap<string, OnRecord>,
  knownMigrations: ReadonlySet<string>,
): Difference[] {
  const differences: Difference[] = [];
  const names = new Set<string>();
  for (const status of reported) {
    names.add(status.name);
    const record = records.get(status.name);
    const isHeld = status.phase === "frozen" || status.phase === "restored";
    if (isHeld && knownMigrations.has(status.migrationId)) continue;
    // Both sides are kept until a person has decided.
    if (record?.migrationId !== undefined || record?.state === "needs_operator") continue;
    if (record === undefined) {
      differences.push({ kind: "stale", name: status.name, epoch: status.epoch, reason: "no workload of this name is on record" });
    } else if (record.nodeId !== nodeId) {
      const reason = `it is placed on ${record.nodeId} in epoch ${record.epoch}`;
      differences.push({ kind: "stale", name: status.name, epoch: Math.max(record.epoch, status.epoch), reason });
    }
  }
  for (const record of records.values()) {
    if (record.nodeId !== nodeId || names.has(record.name) || record.migrationId !== undefined) continue;
    if (record.state !== "running" && record.state !== "lost") continue;
    differences.push({ kind: "missing", name: record.name, reason: `${nodeId} does not have it any more` });
  }
  return differences;
}
