import { type Node, NodeState } from "@aether/contract/gen/aether/v2/node_pb";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { marketQueries } from "../api/market.ts";
import { queries } from "../api/queries.ts";
import { snapshotQueries } from "../api/snapshots.ts";
import { telemetryQueries } from "../api/telemetry.ts";
import { For } from "../app/caller.tsx";
import { DecisionTable } from "../decision/table.tsx";
import { Interrupt } from "../drill/interrupt.tsx";
import { Happened } from "../event/happened.tsx";
import { bytes, duration, plural, words } from "../format/units.ts";
import { useFleetLive } from "../live/live.tsx";
import { MigrationTable } from "../migration/table.tsx";
import { RiskOf } from "../risk/of-node.tsx";
import { SnapshotTable } from "../snapshot/table.tsx";
import { NodeTelemetry } from "../telemetry/node-telemetry.tsx";
import { useWindowSeconds } from "../telemetry/window.tsx";
import { Badge } from "../ui/badge.tsx";
import { buttonLook, plainLook } from "../ui/button.tsx";
import { Facts } from "../ui/facts.tsx";
import { useKnown } from "../ui/known.ts";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { NodeBadge } from "../ui/states.tsx";
import { Tabs } from "../ui/tabs.tsx";
import { Time } from "../ui/time.tsx";
import { WorkloadTable } from "../workload/table.tsx";
import { Cordon } from "./cordon.tsx";
import { DeclareDead } from "./declare-dead.tsx";
import { Drain } from "./drain.tsx";

const tabs = [
  { id: "now", title: "Now" },
  { id: "moves", title: "Moves and decisions" },
  { id: "snapshots", title: "Snapshots" },
  { id: "events", title: "Events" },
];

export function NodePage() {
  useFleetLive();
  const { id } = useParams({ from: "/nodes/$id" });
  const { tab = "now" } = useSearch({ from: "/nodes/$id" });
  const { data: node, error, refetch } = useQuery(queries.node(id));
  if (node === undefined) {
    return <Page title={id}>{error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}</Page>;
  }
  return (
    <Page
      title={id}
      heading={
        <span className="flex flex-wrap items-center gap-2">
          {id} <NodeBadge node={node} />
        </span>
      }
      aside={<Acts node={node} />}
    >
      {node.interruptionAt !== undefined && (
        <div role="alert" className="mb-4 rounded-lg border border-warn/40 bg-warn-ground px-4 py-3 text-warn">
          Its end is announced for <Time at={node.interruptionAt} /> (<Time at={node.interruptionAt} isAgo />
          ). What runs here is moved away.
        </div>
      )}
      {node.declaredDeadAt !== undefined ? (
        <div role="alert" className="mb-4 rounded-lg border border-bad/40 bg-bad-ground px-4 py-3 text-bad">
          Declared dead <Time at={node.declaredDeadAt} /> (<Time at={node.declaredDeadAt} isAgo />
          ). If it is heard again, the word ends, and what it still runs is removed as stale.
        </div>
      ) : (
        node.state === NodeState.LOST && (
          <div role="alert" className="mb-4 rounded-lg border border-bad/40 bg-bad-ground px-4 py-3">
            <p className="font-medium text-bad">
              Not heard since <Time at={node.seenAt} /> (<Time at={node.seenAt} isAgo />
              ).
            </p>
            <p>
              It may be cut off and go on running, so nothing on it is started elsewhere. Where its agent has only stopped, start it again;
              where the machine is terminated, declare it dead.
            </p>
          </div>
        )
      )}
      <Tabs tabs={tabs} current={tab} />
      {tab === "now" && <Now node={node} />}
      {tab === "moves" && <Moves id={id} />}
      {tab === "snapshots" && <Snapshots id={id} />}
      {tab === "events" && <Happened subject={`node/${id}`} />}
    </Page>
  );
}

function Acts({ node }: { node: Node }) {
  return (
    <For as="operator">
      <Cordon node={node} />
      <Drain node={node} />
      <Interrupt node={node} />
      <DeclareDead node={node} />
      {node.isConnected && <RunbookFor name="retire-node" node={node.id} text="Retire…" />}
    </For>
  );
}

/** A runbook that is about this node: what it would do is shown before it begins. */
function RunbookFor({ name, node, text }: { name: string; node: string; text: string }) {
  return (
    <Link to="/runbooks" search={{ start: name, node }} className={`${buttonLook} ${plainLook}`} title={`The runbook ${name}, for ${node}`}>
      {text}
    </Link>
  );
}

function Now({ node }: { node: Node }) {
  const workloads = useQuery(queries.workloads());
  const { facts, usage } = node;
  const subject = `node/${node.id}`;
  const isKnown = useKnown([
    workloads,
    useQuery(queries.certificates()),
    useQuery(telemetryQueries.node(node.id, useWindowSeconds())),
    useQuery(marketQueries.explainRisk(subject)),
    useQuery(marketQueries.riskHistory(subject)),
  ]);
  const capabilities = facts?.capabilities;
  const cloud = facts?.cloud;
  const criu = capabilities?.criu;
  if (!isKnown) return <div className="min-h-dvh" />;
  return (
    <div className="grid gap-4">
      <Panel title="Workloads" isFlush>
        <WorkloadTable workloads={(workloads.data ?? []).filter(({ nodeId }) => nodeId === node.id)} withNode={false} />
      </Panel>
      <NodeTelemetry id={node.id} />
      <RiskOf node={node.id} />
      <div className="grid items-start gap-4 lg:grid-cols-2">
        <Panel
          title="What it can do"
          aside={criu?.available ? <Badge tone="good">moves workloads</Badge> : <Badge tone="bad">cannot move workloads</Badge>}
        >
          <Facts
            facts={[
              [
                "CRIU",
                criu?.available
                  ? `${criu.version}, tried: dumped in ${duration(criu.canaryDumpMs)}, restored in ${duration(criu.canaryRestoreMs)}`
                  : criu?.reason || "not tried yet",
              ],
              ["runc", capabilities?.runcVersion || "none"],
              ["kernel", `${capabilities?.kernelVersion ?? ""} ${capabilities?.arch ?? ""}`.trim() || "not known"],
              ["written memory", trackers[capabilities?.dirtyTracking ?? ""] ?? (capabilities?.dirtyTracking || "not known")],
              [
                "packets",
                !capabilities?.packetHold
                  ? "not known"
                  : capabilities.packetHold === "none"
                    ? "not held during a freeze"
                    : `held during a freeze (${words(capabilities.packetHold)})`,
              ],
              ["post-copy", capabilities?.lazyPages ? "yes" : "no"],
              ["eBPF", capabilities?.ebpf ? "yes" : "no"],
            ]}
          />
          {capabilities !== undefined && capabilities.missing.length > 0 && (
            <div className="mt-4">
              <h3 className="mb-1 font-medium">{plural(capabilities.missing.length, "thing")} missing</h3>
              <ul className="grid gap-2">
                {capabilities.missing.map(({ what, why, mend }) => (
                  <li key={what} className="rounded-md bg-raised px-3 py-2">
                    <p className="font-medium wrap-anywhere">{what}</p>
                    <p className="wrap-anywhere text-soft">{why}</p>
                    <p className="wrap-anywhere">
                      <span className="text-soft">To mend: </span>
                      {mend}
                    </p>
                  </li>
                ))}
              </ul>
            </div>
          )}
        </Panel>
        <Panel title="Facts">
          <Facts
            facts={[
              ["host", facts?.hostname || "—"],
              ["processors", facts?.cpuCount ? String(facts.cpuCount) : "—"],
              [
                "memory",
                usage === undefined
                  ? bytes(facts?.memoryBytes ?? 0n)
                  : `${bytes(usage.memoryAvailableBytes)} free of ${bytes(facts?.memoryBytes ?? 0n)}`,
              ],
              [
                "agent",
                `${facts?.agentVersion || "—"}${usage === undefined || usage.agentResidentBytes === 0n ? "" : `, ${bytes(usage.agentResidentBytes)} resident`}`,
              ],
              cloud !== undefined && ["instance", `${cloud.instanceId || "—"} ${cloud.instanceType} ${cloud.lifecycle}`],
              cloud !== undefined && ["zone", `${cloud.zone || "—"} ${cloud.zoneId}`],
              ["link", facts === undefined || facts.linkAddress === "" ? "—" : `${facts.linkAddress}:${facts.linkPort}`],
              ["joined", <Time at={node.registeredAt} />],
              ["last heard", <Time at={node.seenAt} isAgo />],
            ]}
          />
        </Panel>
      </div>
    </div>
  );
}

const trackers: Readonly<Record<string, string>> = {
  wp_async: "tracked by the kernel (write protection)",
  soft_dirty: "tracked by the kernel (soft-dirty bits)",
  none: "not tracked: memory travels in the freeze",
};

function Moves({ id }: { id: string }) {
  const { data: migrations = [] } = useQuery(queries.migrations());
  const { data: decisions = [] } = useQuery(queries.decisions(id));
  return (
    <div className="grid gap-4">
      <Panel title="Moves from and to it, of the last hundred" isFlush>
        <MigrationTable migrations={migrations.filter(({ sourceNodeId, targetNodeId }) => sourceNodeId === id || targetNodeId === id)} />
      </Panel>
      <Panel title="Why it did, or did not" isFlush>
        <DecisionTable decisions={decisions} />
      </Panel>
    </div>
  );
}

function Snapshots({ id }: { id: string }) {
  const { data } = useQuery(snapshotQueries.list());
  if (data === undefined) return null;
  return (
    <Panel title="Made here, of the last hundred" isFlush>
      <SnapshotTable snapshots={data.filter(({ nodeId }) => nodeId === id)} />
    </Panel>
  );
}
