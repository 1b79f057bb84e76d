import { type Snapshot, SnapshotState } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { queries } from "../api/queries.ts";
import { snapshotApi } from "../api/snapshots.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { bytes, duration } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Button, buttonLook, quietLook } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Empty } from "../ui/empty.tsx";
import { NodeLink, WorkloadLink } from "../ui/links.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { SnapshotBadge } from "./badge.tsx";

export function SnapshotTable({ snapshots, workload }: { snapshots: readonly Snapshot[]; workload?: string }) {
  if (snapshots.length === 0) return <Empty command={`aether checkpoint ${workload ?? "NAME"}`}>No snapshot was taken.</Empty>;
  return (
    <Table label="Snapshots" head={["taken", ...(workload === undefined ? ["workload"] : []), "state", "size", "frozen for", "on", ""]}>
      {snapshots.map((snapshot) => (
        <Row key={snapshot.id}>
          <Cell>
            <Time at={snapshot.createdAt} />
            <span className="block font-mono text-xs whitespace-nowrap text-soft">{snapshot.id}</span>
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
            {snapshot.maxFreezeMs > 0 && (
              <span className={`block text-xs ${snapshot.freezeMs > snapshot.maxFreezeMs ? "text-warn" : "text-soft"}`}>
                of at most {duration(snapshot.maxFreezeMs)}
              </span>
            )}
            {snapshot.freezeBytes > 0n && <span className="block text-xs text-soft">{bytes(snapshot.freezeBytes)} read meanwhile</span>}
          </Cell>
          <Cell>
            <NodeLink id={snapshot.nodeId} />
            <span className="nums block text-xs whitespace-nowrap text-soft">epoch {String(snapshot.epoch)}</span>
          </Cell>
          <Cell>
            <Acts snapshot={snapshot} />
          </Cell>
        </Row>
      ))}
    </Table>
  );
}

function Acts({ snapshot: { id, spec, state, createdAt, isPinned } }: { snapshot: Snapshot }) {
  const name = spec?.name ?? "";
  const navigate = useNavigate();
  const [asking, setAsking] = useState<"restore" | "delete">();
  const { data: workloads = [] } = useQuery(queries.workloads());
  const exists = workloads.some((workload) => workload.spec?.name === name);
  const restore = useAct(() => snapshotApi.restoreSnapshot({ id }), {
    touches: ["workload", "snapshot"],
    onDone: () => void navigate({ to: "/workloads/$name", params: { name } }),
  });
  const remove = useAct(() => snapshotApi.deleteSnapshot({ id }), {
    touches: ["snapshot"],
    onDone: () => setAsking(undefined),
    done: () => "The snapshot is deleted.",
  });
  const pin = useAct(
    async () =>
      isPinned ? (await snapshotApi.unpinSnapshot({ id })).snapshot : (await snapshotApi.pinSnapshot({ id, reason: "by hand" })).snapshot,
    {
      touches: ["snapshot"],
    },
  );
  const verify = useAct(() => snapshotApi.verifySnapshot({ id }, { timeoutMs: 120_000 }), {
    touches: ["snapshot"],
    done: () => "Every byte is as its manifest says.",
  });
  return (
    <For as="operator">
      <span className="flex min-w-44 flex-wrap justify-end gap-1">
        {state === SnapshotState.READY && (
          <>
            <Button
              tone="quiet"
              onClick={() => pin.mutate(undefined)}
              isBusy={pin.isPending}
              title={isPinned ? "Retention may take it again" : "Kept whatever its age"}
            >
              {isPinned ? "Unpin" : "Pin"}
            </Button>
            <Button
              tone="quiet"
              onClick={() => verify.mutate(undefined)}
              isBusy={verify.isPending}
              title="Reads every byte and compares it with the manifest"
            >
              Verify
            </Button>
            <a
              href={`/api/v2/artifacts/${encodeURIComponent(name)}/${encodeURIComponent(id)}`}
              download
              className={`${buttonLook} ${quietLook}`}
              title="One file, encrypted as in the store; aether snapshots upload brings it back"
            >
              Download
            </a>
          </>
        )}
        {state === SnapshotState.READY && <Button onClick={() => setAsking("restore")}>Restore</Button>}
        {state !== SnapshotState.CREATING && (
          <Button tone="quiet" onClick={() => setAsking("delete")}>
            Delete
          </Button>
        )}
      </span>
      {asking === "restore" && (
        <Dialog title={`Restore ${name}?`} onClose={() => setAsking(undefined)}>
          <p>
            It goes on from where it was at <Time at={createdAt} />. What it did since is not in it, and clients that saw later answers will
            see older ones.
          </p>
          {exists && <p className="mt-2 text-warn">{name} exists now. It must be removed first: two of one workload never run.</p>}
          <div className="mt-4 flex justify-end gap-2">
            <Button onClick={() => setAsking(undefined)}>Not now</Button>
            <Button tone="primary" isBusy={restore.isPending} onClick={() => restore.mutate(undefined)}>
              Restore it
            </Button>
          </div>
        </Dialog>
      )}
      {asking === "delete" && (
        <Dialog title="Delete this snapshot?" onClose={() => setAsking(undefined)}>
          <p>Its bytes are removed from the store. Nobody can bring them back.</p>
          <div className="mt-4 flex justify-end gap-2">
            <Button onClick={() => setAsking(undefined)}>Not now</Button>
            <Button tone="danger" isBusy={remove.isPending} onClick={() => remove.mutate(undefined)}>
              Delete it
            </Button>
          </div>
        </Dialog>
      )}
    </For>
  );
}
