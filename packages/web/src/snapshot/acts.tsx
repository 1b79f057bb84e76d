// What can be done with one snapshot, each with what it leads to.
import { type Snapshot, SnapshotState } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { queries } from "../api/queries.ts";
import { snapshotApi } from "../api/snapshots.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { Ask } from "../ui/ask.tsx";
import { Button, buttonLook, quietLook } from "../ui/button.tsx";
import { Time } from "../ui/time.tsx";

export function SnapshotActs({ snapshot: { id, spec, state, createdAt, isPinned } }: { snapshot: Snapshot }) {
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
      <span className="flex min-w-44 flex-wrap justify-end min-[1400px]:flex-nowrap gap-1">
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
        <Ask
          title={`Restore ${name}?`}
          act="Restore it"
          tone="primary"
          isBusy={restore.isPending}
          onAct={() => restore.mutate(undefined)}
          onClose={() => setAsking(undefined)}
        >
          <p>
            It goes on from where it was at <Time at={createdAt} />. What it did since is not in it, and clients that saw later answers will
            see older ones.
          </p>
          {exists && <p className="mt-2 text-warn">{name} exists now. It must be removed first: two of one workload never run.</p>}
        </Ask>
      )}
      {asking === "delete" && (
        <Ask
          title="Delete this snapshot?"
          act="Delete it"
          isBusy={remove.isPending}
          onAct={() => remove.mutate(undefined)}
          onClose={() => setAsking(undefined)}
        >
          <p>Its bytes are removed from the store. Nobody can bring them back.</p>
        </Ask>
      )}
    </For>
  );
}
