import type { Node } from "@aether/contract/gen/aether/v2/node_pb";
import { api } from "../api/clients.ts";
import { useAct } from "../app/act.ts";
import { Button } from "../ui/button.tsx";

export function Cordon({ node: { id, isCordoned } }: { node: Node }) {
  const cordon = useAct(
    async () => (isCordoned ? (await api.nodes.uncordonNode({ id })).node : (await api.nodes.cordonNode({ id, reason: "by hand" })).node),
    {
      touches: ["node"],
      done: () => (isCordoned ? `${id} takes workloads again.` : `${id} takes no new workload. What runs there stays.`),
    },
  );
  return (
    <Button
      onClick={() => cordon.mutate(undefined)}
      isBusy={cordon.isPending}
      title={isCordoned ? "Takes workloads again" : "Takes no new workload; what runs there stays"}
    >
      {isCordoned ? "Uncordon" : "Cordon"}
    </Button>
  );
}
