// Somebody's word that a node is gone for good. Heartbeats alone do not tell that, so it is asked for, and what becomes of each workload is said before.
import type { Node } from "@aether/contract/gen/aether/v2/node_pb";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { useAct } from "../app/act.ts";
import { plural } from "../format/units.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { TextField } from "../ui/fields.tsx";
import { Form } from "../ui/form.tsx";
import { WorkloadLink } from "../ui/links.tsx";
import { ProblemNote } from "../ui/problem.tsx";

export function DeclareDead({ node }: { node: Node }) {
  const [isAsking, setAsking] = useState(false);
  if (node.isConnected || node.declaredDeadAt !== undefined) return null;
  return (
    <>
      <Button tone="danger" onClick={() => setAsking(true)} title="It is terminated: nothing of it runs any more">
        Declare dead
      </Button>
      {isAsking && <Asked node={node} onClose={() => setAsking(false)} />}
    </>
  );
}

function Asked({ node: { id }, onClose }: { node: Node; onClose: () => void }) {
  const [reason, setReason] = useState("");
  const [isSure, setSure] = useState(false);
  const fates = useQuery({
    queryKey: ["declare-dead", id],
    queryFn: async ({ signal }) => (await api.nodes.declareNodeDead({ id, isDryRun: true }, { signal })).workloads,
    retry: false,
    gcTime: 0,
  });
  const declare = useAct(() => api.nodes.declareNodeDead({ id, reason: reason.trim() }), {
    touches: ["node", "workload", "certificate"],
    done: ({ workloads }) => {
      const back = workloads.filter(({ snapshotId }) => snapshotId !== "").length;
      return `${id} is declared dead.${back === 0 ? "" : ` ${plural(back, "workload comes", "workloads come")} back elsewhere.`}`;
    },
    onDone: onClose,
  });
  return (
    <Dialog title={`Declare ${id} dead?`} onClose={onClose}>
      <Form
        onSubmit={() => {
          if (isSure) declare.mutate(undefined);
        }}
      >
        <p>
          Only when you know that the machine is terminated. If it still runs somewhere, cut off, its workloads would run twice: here from a
          snapshot, and there. Should it come back, its copies are stale and are removed.
        </p>
        <section aria-label="What becomes of its workloads" className="grid min-h-16 gap-1 rounded-md bg-raised px-3 py-2">
          {fates.isPending && <p className="pulse text-soft">It is looked at what becomes of each workload…</p>}
          {fates.error !== null && <ProblemNote error={fates.error} />}
          {fates.data?.length === 0 && <p>Nothing is placed on it: nothing else changes.</p>}
          {fates.data !== undefined && fates.data.length > 0 && (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard (WCAG 2.1.1)
            <ul className="grid max-h-56 gap-1.5 overflow-y-auto" tabIndex={0} aria-label="Workloads">
              {fates.data.map(({ name, outcome, snapshotId }) => (
                <li key={name} className="wrap-anywhere">
                  <WorkloadLink name={name} /> <span className={snapshotId === "" ? "text-bad" : ""}>{outcome}</span>
                </li>
              ))}
            </ul>
          )}
        </section>
        <TextField
          label="How you know"
          value={reason}
          autoComplete="off"
          maxLength={300}
          placeholder="terminated in the console at 14:03"
          onChange={(event) => setReason(event.target.value)}
          note="Kept on the audit log."
          required
        />
        <label className="flex min-h-6 items-start gap-2">
          <input type="checkbox" checked={isSure} onChange={(event) => setSure(event.target.checked)} className="mt-1" />
          <span>{id} is gone for good: nothing of it runs any more.</span>
        </label>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Not now</Button>
          <Button
            tone="danger"
            type="submit"
            disabled={!isSure || reason.trim() === "" || fates.data === undefined}
            isBusy={declare.isPending}
          >
            Declare it dead
          </Button>
        </div>
      </Form>
    </Dialog>
  );
}
