// Snapshots in a table: what each is, and unfolded, what it cost and what it saved one from.
import type { Snapshot } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { bytes, duration } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Empty } from "../ui/empty.tsx";
import { NodeLink, WorkloadLink } from "../ui/links.tsx";
import { Cell, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { UnfoldRow, useUnfolded } from "../ui/unfold.tsx";
import { SnapshotActs } from "./acts.tsx";
import { SnapshotBadge } from "./badge.tsx";
import { SnapshotCost } from "./cost.tsx";

export function SnapshotTable({ snapshots, workload }: { snapshots: readonly Snapshot[]; workload?: string }) {
  const [open, toggle] = useUnfolded();
  if (snapshots.length === 0) return <Empty command={`aether checkpoint ${workload ?? "NAME"}`}>No snapshot was taken.</Empty>;
  const head = ["", "taken", ...(workload === undefined ? ["workload"] : []), "state", "size", "frozen for", "on", ""];
  return (
    <Table label="Snapshots" head={head}>
      {snapshots.map((snapshot) => (
        <UnfoldRow
          key={snapshot.id}
          label={`What ${snapshot.id} cost`}
          isOpen={open === snapshot.id}
          onToggle={() => toggle(snapshot.id)}
          columns={head.length}
          more={<SnapshotCost snapshot={snapshot} />}
        >
          <Cell>
            <Time at={snapshot.createdAt} />
          </Cell>
          {workload === undefined && (
            <Cell>
              <WorkloadLink name={snapshot.spec?.name ?? ""} />
            </Cell>
          )}
          <Cell>
            <span className="inline-flex gap-1">
              <SnapshotBadge state={snapshot.state} />
              {snapshot.isPinned && (
                <span title={snapshot.pinReason}>
                  <Badge tone="accent">pinned</Badge>
                </span>
              )}
            </span>
            {snapshot.retention !== "" && <span className="block min-w-32 text-xs text-soft">{snapshot.retention}</span>}
            {snapshot.error !== undefined && <span className="block max-w-72 text-xs break-words text-bad">{snapshot.error.message}</span>}
          </Cell>
          <Cell className="nums whitespace-nowrap">
            {bytes(snapshot.bytes)}
            {snapshot.storedBytes > 0n && <span className="block text-xs text-soft">{bytes(snapshot.storedBytes)} new</span>}
          </Cell>
          <Cell className="nums whitespace-nowrap">
            {snapshot.freezeMs > 0 ? duration(snapshot.freezeMs) : "—"}
            {snapshot.maxFreezeMs > 0 && snapshot.freezeMs > snapshot.maxFreezeMs && (
              <span className="block text-xs text-warn">of at most {duration(snapshot.maxFreezeMs)}</span>
            )}
          </Cell>
          <Cell>
            <NodeLink id={snapshot.nodeId} />
          </Cell>
          <Cell>
            <SnapshotActs snapshot={snapshot} />
          </Cell>
        </UnfoldRow>
      ))}
    </Table>
  );
}
