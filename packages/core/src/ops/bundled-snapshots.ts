// Snapshots in a diagnostics bundle: asked for by name, within limits, sealed as they are, and without their keys.
import { type DiagnosticsPart, DiagnosticsPartSchema, type DownloadDiagnosticsRequest } from "@aether/contract/gen/aether/v2/ops_pb";
import { type Snapshot, SnapshotService, SnapshotState } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { create } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { Artifacts } from "../artifact/service.ts";
import type { Spool } from "../artifact/spool.ts";
import type { OwnCall } from "../http/own-call.ts";
import type { StreamedPart } from "./diagnostics.ts";

export type SnapshotLimits = Pick<
  DownloadDiagnosticsRequest,
  "includeSnapshots" | "maxSnapshots" | "maxSnapshotBytes" | "maxTotalSnapshotBytes"
>;

export interface SnapshotSources {
  readonly artifacts: Pick<Artifacts, "file">;
  readonly spool: Pick<Spool, "read">;
  readonly call: OwnCall;
}

const mostSnapshots = 20;
const defaultEach = 256n << 20n;
const defaultTotal = 1n << 30n;

export interface ChosenSnapshots {
  readonly chosen: readonly { readonly part: DiagnosticsPart; readonly snapshot: Snapshot }[];
  readonly skipped: readonly DiagnosticsPart[];
}

/** By the sizes on record; the newest first. */
export async function chooseSnapshots(
  { call }: SnapshotSources,
  limits: SnapshotLimits,
  context: HandlerContext,
): Promise<ChosenSnapshots> {
  if (!limits.includeSnapshots) return { chosen: [], skipped: [] };
  const { snapshots } = await call(SnapshotService.method.listSnapshots, { page: { pageSize: 200 } }, context);
  const each = limits.maxSnapshotBytes || defaultEach;
  const total = limits.maxTotalSnapshotBytes || defaultTotal;
  const count = Math.min(limits.maxSnapshots || 1, mostSnapshots);
  const chosen: { part: DiagnosticsPart; snapshot: Snapshot }[] = [];
  const skipped: DiagnosticsPart[] = [];
  let bytes = 0n;
  for (const snapshot of snapshots.filter(({ state }) => state === SnapshotState.READY)) {
    const why =
      chosen.length >= count
        ? "more than so many were not asked for"
        : snapshot.bytes > each
          ? `larger than ${each} bytes`
          : bytes + snapshot.bytes > total
            ? `together larger than ${total} bytes`
            : "";
    const part = create(DiagnosticsPartSchema, {
      name: `snapshots/${snapshot.id}.aether`,
      what: `a snapshot of ${snapshot.spec?.name ?? ""}, sealed; its key is not in the bundle`,
      count: 1n,
      estimatedBytes: snapshot.bytes,
      isIncluded: why === "",
      note: why,
    });
    if (why !== "") skipped.push(part);
    else {
      chosen.push({ part, snapshot });
      bytes += snapshot.bytes;
    }
  }
  return { chosen, skipped: skipped.slice(0, 50) };
}

/** The files themselves: each is fetched from its node now, and what cannot be had is left out and said. */
export async function openSnapshots({ artifacts, spool }: SnapshotSources, { chosen, skipped }: ChosenSnapshots) {
  const streamed: StreamedPart[] = [];
  const left: DiagnosticsPart[] = [...skipped];
  for (const { part, snapshot } of chosen) {
    try {
      const { path, bytes } = await artifacts.file(snapshot);
      streamed.push({ part, bytes, open: () => spool.read(path, 0, undefined) });
    } catch (caught) {
      left.push(
        create(DiagnosticsPartSchema, { ...part, isIncluded: false, note: caught instanceof Error ? caught.message : String(caught) }),
      );
    }
  }
  return { streamed, left };
}
