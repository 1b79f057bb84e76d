import { type Node, NodeState } from "@aether/contract/gen/aether/v2/node_pb";
import type { Workload } from "@aether/contract/gen/aether/v2/workload_pb";
import { Link } from "@tanstack/react-router";
import { Interrupt } from "../drill/interrupt.tsx";
import { bytes, percent, plural } from "../format/units.ts";
import { Empty } from "../ui/empty.tsx";
import { NodeLink, WorkloadLink } from "../ui/links.tsx";
import { HealthBadge, NodeBadge, WorkloadBadge } from "../ui/states.tsx";
import { Time } from "../ui/time.tsx";

/** As many as one takes in at a look; those in trouble first. */
const shown = 8;
const urgency = ({ state, isConnected }: Node): number =>
  state === NodeState.INTERRUPTED ? 0 : state === NodeState.LOST || !isConnected ? 1 : state === NodeState.CORDONED ? 2 : 3;

export function NodeCards({ nodes, workloads = [] }: { nodes: readonly Node[] | undefined; workloads: readonly Workload[] | undefined }) {
  if (nodes === undefined) return <div className="h-44" />;
  if (nodes.length === 0) {
    return (
      <Empty command="aether token create --role agent">
        No node has joined yet. In the local cloud they come by themselves; a real one joins with a token, once.
      </Empty>
    );
  }
  const chosen = [...nodes]
    .sort((a, b) => urgency(a) - urgency(b) || b.workloads.length - a.workloads.length || a.id.localeCompare(b.id))
    .slice(0, shown);
  const sorted = chosen.sort((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }));
  return (
    <>
      <ul className="grid gap-px bg-line md:grid-cols-2">
        {sorted.map((node) => (
          <li key={node.id} className="grid content-start gap-2 bg-surface px-4 py-3">
            <div className="flex min-h-8 flex-wrap items-center gap-2">
              <NodeLink id={node.id} />
              <NodeBadge node={node} />
              <span className="ml-auto">
                <Interrupt node={node} />
              </span>
            </div>
            <p className="nums min-h-5 text-xs text-soft">
              {node.interruptionAt !== undefined ? (
                <span className="font-medium text-warn">
                  to be interrupted <Time at={node.interruptionAt} isAgo />
                </span>
              ) : node.usage === undefined ? (
                "not measured yet"
              ) : (
                `CPU ${percent(node.usage.cpuFraction)} · ${bytes(node.usage.memoryAvailableBytes)} free`
              )}
            </p>
            <Workloads of={workloads.filter(({ nodeId }) => nodeId === node.id)} />
          </li>
        ))}
        {sorted.length % 2 === 1 && <li aria-hidden="true" className="hidden bg-surface md:block" />}
      </ul>
      {nodes.length > shown && (
        <p className="border-t border-line px-4 py-2 text-soft">
          <Link to="/nodes" className="hover:underline">
            and {plural(nodes.length - shown, "more node")}
          </Link>
        </p>
      )}
    </>
  );
}

function Workloads({ of }: { of: readonly Workload[] }) {
  if (of.length === 0) {
    return <p className="min-h-8 text-soft">Nothing runs here.</p>;
  }
  return (
    <ul className="grid gap-1">
      {of.slice(0, 6).map((workload) => (
        <li key={workload.spec?.name} className="flex min-h-8 flex-wrap items-center gap-2 rounded-md bg-raised px-2 py-1">
          <WorkloadLink name={workload.spec?.name ?? ""} />
          <WorkloadBadge workload={workload} />
          <HealthBadge health={workload.health} hasCheck={workload.spec?.health !== undefined} />
          <span className="nums ml-auto text-xs text-soft">{workload.usage === undefined ? "" : bytes(workload.usage.memoryBytes)}</span>
        </li>
      ))}
      {of.length > 6 && <li className="text-xs text-soft">and {plural(of.length - 6, "more workload")}</li>}
    </ul>
  );
}
