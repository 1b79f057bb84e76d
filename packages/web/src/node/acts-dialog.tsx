// From the list of nodes: what can be done with one of them, and what that would cost what runs there.
import type { Node } from "@aether/contract/gen/aether/v2/node_pb";
import { useQuery } from "@tanstack/react-query";
import { queries } from "../api/queries.ts";
import { Interrupt } from "../drill/interrupt.tsx";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { NodeLink } from "../ui/links.tsx";
import { NodeBadge } from "../ui/states.tsx";
import { Move } from "../workload/move.tsx";
import { Cordon } from "./cordon.tsx";
import { DeclareDead } from "./declare-dead.tsx";
import { Drain } from "./drain.tsx";
import { Foretold } from "./foretold.tsx";

export default function ActsDialog({ node, onClose }: { node: Node; onClose: () => void }) {
  const { data: workloads = [] } = useQuery(queries.workloads());
  const here = workloads.filter(({ nodeId }) => nodeId === node.id);
  return (
    <Dialog title={node.id} onClose={onClose}>
      <p className="flex flex-wrap items-center gap-2">
        <NodeBadge node={node} /> <NodeLink id={node.id} />
      </p>
      <div className="mt-3 grid gap-2">
        {node.workloads.length === 0 ? <p className="text-soft">Nothing runs there.</p> : <Foretold workloads={node.workloads} />}
        {here.length === 1 && here[0] !== undefined && (
          <div>
            <Move workload={here[0]} />
          </div>
        )}
      </div>
      <div className="mt-4 flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>Close</Button>
        <Cordon node={node} />
        <Drain node={node} />
        <Interrupt node={node} />
        <DeclareDead node={node} />
      </div>
    </Dialog>
  );
}
