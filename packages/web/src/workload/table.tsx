import type { Workload } from "@aether/contract/gen/aether/v2/workload_pb";
import { VerdictOf } from "../certificate/verdict.tsx";
import { bytes, percent, plural } from "../format/units.ts";
import { Empty } from "../ui/empty.tsx";
import { NodeLink, WorkloadLink } from "../ui/links.tsx";
import { HealthBadge, WorkloadBadge } from "../ui/states.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Move } from "./move.tsx";

export function WorkloadTable({ workloads, withNode = true }: { workloads: readonly Workload[]; withNode?: boolean }) {
  if (workloads.length === 0) {
    return (
      <Empty command="aether run db --health tcp:6379 -- redis-server --bind 0.0.0.0 --protected-mode no">
        Nothing runs {withNode ? "yet" : "here"}.
      </Empty>
    );
  }
  return (
    <Table
      label="Workloads"
      head={["workload", "state", "survives a reclaim?", ...(withNode ? ["node"] : []), "address", "memory", "CPU", "clients", ""]}
    >
      {workloads.map((workload) => {
        const { spec, usage, nodeId, reason } = workload;
        const name = spec?.name ?? "";
        return (
          <Row key={name}>
            <Cell>
              <WorkloadLink name={name} />
            </Cell>
            <Cell>
              <span className="flex flex-wrap gap-1">
                <WorkloadBadge workload={workload} />
                <HealthBadge health={workload.health} hasCheck={spec?.health !== undefined} />
              </span>
              {reason !== "" && <span className="block max-w-80 text-xs break-words text-bad">{reason}</span>}
            </Cell>
            <Cell>
              <VerdictOf workload={name} />
            </Cell>
            {withNode && (
              <Cell>
                <NodeLink id={nodeId} />
              </Cell>
            )}
            <Cell className="font-mono text-xs text-soft">{spec?.address || "—"}</Cell>
            <Cell className="nums whitespace-nowrap">{usage === undefined ? "—" : bytes(usage.memoryBytes)}</Cell>
            <Cell className="nums whitespace-nowrap">{usage === undefined ? "—" : percent(usage.cpuFraction)}</Cell>
            <Cell className="nums whitespace-nowrap">{usage === undefined ? "—" : plural(usage.tcpEstablished, "connection")}</Cell>
            <Cell className="text-right">
              <Move workload={workload} />
            </Cell>
          </Row>
        );
      })}
    </Table>
  );
}
