// Emptying a node by hand: it takes nothing new, and each workload on it is moved while it runs. What that will cost is said before.
import type { Node } from "@aether/contract/gen/aether/v2/node_pb";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { problemOf } from "../api/problem.ts";
import { queries } from "../api/queries.ts";
import { useAct } from "../app/act.ts";
import { duration, plural } from "../format/units.ts";
import { Ask } from "../ui/ask.tsx";
import { Button } from "../ui/button.tsx";
import { Foretold } from "./foretold.tsx";

export function Drain({ node }: { node: Node }) {
  const [isAsking, setAsking] = useState(false);
  if (node.workloads.length === 0) return null;
  return (
    <>
      <Button onClick={() => setAsking(true)} disabled={!node.isConnected} title="Takes nothing new, and moves what runs here">
        Drain
      </Button>
      {isAsking && <DrainDialog node={node} onClose={() => setAsking(false)} />}
    </>
  );
}

export function DrainDialog({ node: { id, workloads }, onClose }: { node: Node; onClose: () => void }) {
  const { data: certificates = [] } = useQuery(queries.certificates());
  const longest = Math.max(
    0,
    ...certificates.filter(({ workload }) => workloads.includes(workload)).map(({ freezeMs }) => freezeMs?.expected ?? 0),
  );
  const drain = useAct(
    async () => {
      await api.nodes.cordonNode({ id, reason: "drained by hand" });
      const refused: string[] = [];
      for (const workload of workloads) {
        await api.migrations
          .startMigration({ workload })
          .catch((caught: unknown) => refused.push(`${workload}: ${problemOf(caught).message}`));
      }
      return refused;
    },
    {
      touches: ["node", "migration", "workload"],
      done: (refused) =>
        refused.length === 0
          ? `${id} takes nothing new, and ${plural(workloads.length, "workload")} began to move.`
          : `Not everything moves. ${refused.join("; ")}`,
      onDone: onClose,
    },
  );
  return (
    <Ask
      title={`Drain ${id}?`}
      act="Drain it"
      tone="primary"
      isBusy={drain.isPending}
      onAct={() => drain.mutate(undefined)}
      onClose={onClose}
    >
      <p>
        It takes no new workload, and {plural(workloads.length, "workload")} on it {workloads.length === 1 ? "is" : "are"} moved while
        running
        {longest > 0 ? `, each frozen for about ${duration(longest)} at most` : ""}. Clients keep their connections.
      </p>
      <div className="mt-3">
        <Foretold workloads={workloads} />
      </div>
    </Ask>
  );
}
