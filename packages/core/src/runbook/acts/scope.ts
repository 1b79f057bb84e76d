// Which workloads a step is about: one by name, those of a node, or all.

import { Fault, fault, makeId } from "@aether/contract";
import { type Certificate, CertificateService } from "@aether/contract/gen/aether/v2/certificate_pb";
import { type Migration, MigrationService } from "@aether/contract/gen/aether/v2/migration_pb";
import { NodeService } from "@aether/contract/gen/aether/v2/node_pb";
import { type Snapshot, SnapshotService } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { type Workload, WorkloadService, WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import type { Ask, Doing, InputSpec, Inputs } from "./act.ts";

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
  // Of a large fleet a node has few.
  if (node !== "") {
    const { node: found } = await ask(NodeService.method.getNode, { id: node });
    const each = (found?.workloads ?? []).map((name) => orNone(ask(WorkloadService.method.getWorkload, { name })));
    return (await Promise.all(each)).flatMap((answer) => answer?.workload ?? []).filter(({ nodeId }) => nodeId === node);
  }
  return everyPage(
    (page) => ask(WorkloadService.method.listWorkloads, { page }),
    ({ workloads }) => workloads,
  );
}

/** What is gone meanwhile is not there. */
const orNone = <Answer>(asked: Promise<Answer>): Promise<Answer | undefined> =>
  asked.catch((caught: unknown) => {
    if (Fault.from(caught).code === "WORKLOAD_NOT_FOUND") return undefined;
    throw caught;
  });

/** It is somewhere, or should be: what was stopped, or has ended, is nobody's concern. */
export const isAlive = ({ state }: Workload): boolean =>
  state !== WorkloadState.STOPPED && state !== WorkloadState.EXITED && state !== WorkloadState.FAILED;

export const nameOf = ({ spec }: Workload): string => spec?.name ?? "";

/** Of these workloads, where they have one. */
export async function certificatesOf(ask: Ask, names: readonly string[]): Promise<Map<string, Certificate>> {
  const one = async (workload: string) => (await orNone(ask(CertificateService.method.getCertificate, { workload })))?.certificate;
  const found = names.length > fewNames ? await allCertificates(ask) : await Promise.all(names.map(one));
  return new Map(found.flatMap((certificate) => (certificate === undefined ? [] : [[certificate.workload, certificate]])));
}

/** So many are asked for one by one. */
const fewNames = 50;

const allCertificates = (ask: Ask): Promise<Certificate[]> =>
  everyPage(
    (page) => ask(CertificateService.method.listCertificates, { page }),
    ({ certificates }) => certificates,
  );

/** Of a list with the newest first, those whose id is of since then: ids begin with the time at which a control plane made them. */
async function since<Item extends { readonly id: string }>(
  first: string,
  read: (page: { pageSize: number; pageToken: string }) => Promise<{ items: readonly Item[]; nextPageToken: string }>,
): Promise<Item[]> {
  const found: Item[] = [];
  for (let pageToken = ""; ; ) {
    const { items, nextPageToken } = await read({ pageSize: 50, pageToken });
    const fresh = items.filter(({ id }) => id >= first);
    found.push(...fresh);
    if (fresh.length < items.length || nextPageToken === "") return found;
    pageToken = nextPageToken;
  }
}

/** The clocks of two control planes, where one takes over in the middle of a step, may differ by so much. */
const clockMs = 60_000;
const firstId = (prefix: "mig" | "snap", startedAtMs: number) => makeId(prefix, startedAtMs - clockMs, new Uint8Array(5));

/** Moves that bear the step's cause, by workload, the oldest first. */
export async function movesOf({
  ask,
  cause,
  startedAtMs,
}: Pick<Doing, "ask" | "cause" | "startedAtMs">): Promise<Map<string, Migration[]>> {
  const moves = await since(firstId("mig", startedAtMs), async (page) => {
    const { migrations, nextPageToken } = await ask(MigrationService.method.listMigrations, { page });
    return { items: migrations, nextPageToken };
  });
  return Map.groupBy(moves.filter((each) => each.cause === cause).reverse(), ({ workload }) => workload);
}

/** Snapshots that bear the step's cause, by workload, the newest first. */
export async function snapshotsMade({
  ask,
  cause,
  startedAtMs,
}: Pick<Doing, "ask" | "cause" | "startedAtMs">): Promise<Map<string, Snapshot[]>> {
  const snapshots = await since(firstId("snap", startedAtMs), async (page) => {
    const { snapshots: items, nextPageToken } = await ask(SnapshotService.method.listSnapshots, { page });
    return { items, nextPageToken };
  });
  return Map.groupBy(
    snapshots.filter((each) => each.cause === cause),
    ({ spec }) => spec?.name ?? "",
  );
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
