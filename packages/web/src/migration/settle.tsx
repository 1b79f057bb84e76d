// A move that needs a person: which copy is kept, after one has read what that means. Exactly one instance is left.
import { Keep, type Migration, MigrationState } from "@aether/contract/gen/aether/v2/migration_pb";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { Ask } from "../ui/ask.tsx";
import { Button } from "../ui/button.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";

export function Settle({ migration }: { migration: Migration }) {
  const [keep, setKeep] = useState<Keep>();
  if (migration.state !== MigrationState.NEEDS_OPERATOR) return null;
  return (
    <For as="operator">
      <Panel title="A person must decide which copy is kept">
        <p className="mb-3">Both copies are kept until then, and neither is given up by itself. The other one is destroyed.</p>
        <div className="flex flex-wrap gap-2">
          <Button onClick={() => setKeep(Keep.SOURCE)}>Keep the one on {migration.sourceNodeId}</Button>
          <Button onClick={() => setKeep(Keep.TARGET)}>Keep the one on {migration.targetNodeId}</Button>
        </div>
        {keep !== undefined && <Confirm migration={migration} keep={keep} onClose={() => setKeep(undefined)} />}
      </Panel>
    </For>
  );
}

function Confirm({
  migration: { id, workload, sourceNodeId, targetNodeId },
  keep,
  onClose,
}: {
  migration: Migration;
  keep: Keep;
  onClose: () => void;
}) {
  const [isDead, setDead] = useState(false);
  const [kept, other] = keep === Keep.SOURCE ? [sourceNodeId, targetNodeId] : [targetNodeId, sourceNodeId];
  const preview = useQuery({
    queryKey: ["settle", id, keep, isDead],
    queryFn: ({ signal }) => api.migrations.settleMigration({ id, keep, preview: true, otherNodeIsDead: isDead }, { signal }),
    retry: false,
  });
  const settle = useAct(() => api.migrations.settleMigration({ id, keep, otherNodeIsDead: isDead }), {
    touches: ["migration", "workload"],
    onDone: onClose,
  });
  return (
    <Ask
      title={`Keep ${workload} on ${kept}?`}
      act={`Keep it on ${kept}`}
      isDisabled={preview.data === undefined}
      isBusy={settle.isPending}
      onAct={() => settle.mutate(undefined)}
      onClose={onClose}
    >
      <div className="grid min-h-32 gap-2">
        {preview.error !== null && <ProblemNote error={preview.error} />}
        <ul className="grid list-disc gap-1 pl-5">
          {preview.data?.consequences.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
        <label className="flex min-h-6 items-start gap-2">
          <input type="checkbox" checked={isDead} onChange={(event) => setDead(event.target.checked)} className="mt-1" />
          <span>
            {other} is gone for good (terminated): nothing can run there. <span className="text-soft">Only if you know it.</span>
          </span>
        </label>
      </div>
    </Ask>
  );
}
