// Which workloads a step is about: one by name, those of a node, or all.

import { fault } from "@aether/contract";
import { type Certificate, CertificateService } from "@aether/contract/gen/aether/v2/certificate_pb";
import { type Migration, MigrationService } from "@aether/contract/gen/aether/v2/migration_pb";
import { type Snapshot, SnapshotService } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { type Workload, WorkloadService, WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import type { Ask, InputSpec, Inputs } from "./act.ts";

export const scopeInputs: readonly InputSpec[] = [
  { name: "node", type: "node", description: "the workloads of this node", defaultValue: "" },
  { name: "workload", type: "workload", description: "this workload alone; neither: all workloads", defaultValue: "" },
];

/** Throws INVALID_ARGUMENT: both are given. */
export function checkScope({ node = "", workload = "" }: Inputs): void {
  if (node !== "" && workload !== "") throw fault("INVALID_ARGUMENT", "node and workload exclude each other", { field: "workload" });
}

export const scopeText = ({ node = "", workload = "" }: Inputs): string =>
  workload !== "" ? workload : node !== "" ? `the workloads of ${node}` : "all workloads";

async function everyPage<Answer extends { nextPageToken: string }, Item>(
  read: (page: { pageSize: number; pageToken: string }) => Promise<Answer>,
  items: (answer: Answer) => readonly Item[],
): Promise<Item[]> {
  const found: Item[] = [];
  for (let pageToken = ""; ; ) {
    const answer = await read({ pageSize: 1000, pageToken });
    found.push(...items(answer));
    if (answer.nextPageToken === "") return found;
    pageToken = answer.nextPageToken;
  }
}

/** Throws WORKLOAD_NOT_FOUND. */
export async function workloadsOf(ask: Ask, { node = "", workload = "" }: Inputs): Promise<Workload[]> {
  if (workload !== "") {
    const { workload: one } = await ask(WorkloadService.method.getWorkload, { name: workload });
    return one === undefined ? [] : [one];
  }
  const all = await everyPage(
    (page) => ask(WorkloadService.method.listWorkloads, { page }),
    ({ workloads }) => workloads,
  );
  return node === "" ? all : all.filter(({ nodeId }) => nodeId === node);
}

/** It is somewhere, or should be: what was stopped, or has ended, is nobody's concern. */
export const isAlive = ({ state }: Workload): boolean =>
  state !== WorkloadState.STOPPED && state !== WorkloadState.EXITED && state !== WorkloadState.FAILED;

export const nameOf = ({ spec }: Workload): string => spec?.name ?? "";

export async function certificatesOf(ask: Ask): Promise<Map<string, Certificate>> {
  const all = await everyPage(
    (page) => ask(CertificateService.method.listCertificates, { page }),
    ({ certificates }) => certificates,
  );
  return new Map(all.map((each) => [each.workload, each]));
}

/** Moves of the workload that bear this cause, the oldest first. */
export async function movesCausedBy(ask: Ask, workload: string, cause: string): Promise<Migration[]> {
  const { migrations } = await ask(MigrationService.method.listMigrations, { workload, page: { pageSize: 50 } });
  return migrations.filter((each) => each.cause === cause).reverse();
}

/** Moves of whatever workload that bear this cause, the oldest first: of the newest 300. */
export async function allCausedBy(ask: Ask, cause: string): Promise<Migration[]> {
  const { migrations } = await ask(MigrationService.method.listMigrations, { page: { pageSize: 300 } });
  return migrations.filter((each) => each.cause === cause).reverse();
}

/** The newest snapshots of the workload. */
export async function snapshotsOf(ask: Ask, workload: string): Promise<Snapshot[]> {
  return (await ask(SnapshotService.method.listSnapshots, { workload, page: { pageSize: 50 } })).snapshots;
}

export const movesUnderWay = (ask: Ask): Promise<Migration[]> =>
  everyPage(
    (page) => ask(MigrationService.method.listMigrations, { page, activeOnly: true }),
    ({ migrations }) => migrations,
  );
