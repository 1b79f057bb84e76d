// The button of the five-minute journey: announces the end of a node where its cloud would, and watches what comes of it.
import { DrillKind, DrillState } from "@aether/contract/gen/aether/v2/drill_pb";
import type { Node } from "@aether/contract/gen/aether/v2/node_pb";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { queries } from "../api/queries.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { plural } from "../format/units.ts";
import { Foretold } from "../node/foretold.tsx";
import { Ask } from "../ui/ask.tsx";
import { Button } from "../ui/button.tsx";

export function Interrupt({ node }: { node: Node }) {
  const { data: drills = [] } = useQuery(queries.drills());
  const [isAsking, setAsking] = useState(false);
  const running = drills.find((drill) => drill.nodeId === node.id && drill.state === DrillState.RUNNING);
  const stop = useAct((id: string) => api.drills.stopDrill({ id }), { touches: ["drill"], done: () => "The announcement is withdrawn." });
  return (
    <For as="operator">
      {running !== undefined ? (
        <Button onClick={() => stop.mutate(running.id)} isBusy={stop.isPending}>
          Stop the drill
        </Button>
      ) : (
        <Button
          disabled={!node.isConnected}
          title={node.isConnected ? undefined : "The node is not connected"}
          onClick={() => setAsking(true)}
        >
          Interrupt this node
        </Button>
      )}
      {isAsking && <InterruptDialog node={node} onClose={() => setAsking(false)} />}
    </For>
  );
}

export function InterruptDialog({ node, onClose }: { node: Node; onClose: () => void }) {
  const start = useAct(() => api.drills.startDrill({ kind: DrillKind.NOTICE, nodeId: node.id }), {
    touches: ["drill", "node"],
    onDone: onClose,
  });
  return (
    <Ask
      title={`Interrupt ${node.id}?`}
      act="Interrupt it"
      isBusy={start.isPending}
      onAct={() => start.mutate(undefined)}
      onClose={onClose}
    >
      <p>
        A drill: the metadata service of {node.id} announces its end in 120 s, as EC2 does.{" "}
        {node.workloads.length === 0
          ? "Nothing runs on it, so nothing will move."
          : `${plural(node.workloads.length, "workload")} on it will be moved to another node while running: ${node.workloads.join(", ")}.`}
      </p>
      <p className="mt-2 text-soft">
        Each move freezes its workload for a moment. Clients keep their connections. The announcement is withdrawn when the drill ends.
      </p>
      {node.workloads.length > 0 && (
        <div className="mt-3">
          <Foretold workloads={node.workloads} />
        </div>
      )}
    </Ask>
  );
}
