import type { Decision } from "@aether/contract/gen/aether/v2/signal_pb";
import { Link } from "@tanstack/react-router";
import { duration } from "../format/units.ts";
import { Badge, type Tone } from "../ui/badge.tsx";
import { Empty } from "../ui/empty.tsx";
import { NodeLink } from "../ui/links.tsx";
import { Cell, Row, Table, wideOnly } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

const tones: Readonly<Record<string, Tone>> = { migrate: "accent", snapshot: "accent", restore: "accent", hold: "warn" };

export const ActionBadge = ({ action }: { action: string }) => (
  <Badge tone={tones[action] ?? "plain"}>{action === "none" ? "did nothing" : action}</Badge>
);

export function DecisionTable({ decisions }: { decisions: readonly Decision[] }) {
  if (decisions.length === 0)
    return <Empty command="aether drill start --kind notice --node NODE">Nothing was heard, so nothing was decided.</Empty>;
  return (
    <Table label="Decisions" head={["at", "node", "did", "rule", "because", "decided in"]} wide={[3, 4, 5]}>
      {decisions.map((decision) => (
        <Row key={decision.id}>
          <Cell>
            <Link to="/decisions/$id" params={{ id: decision.id }} className="font-medium hover:underline">
              <Time at={decision.at} />
            </Link>
          </Cell>
          <Cell>
            <NodeLink id={decision.nodeId} />
          </Cell>
          <Cell>
            <ActionBadge action={decision.action} />
            <span className="block text-xs wrap-anywhere text-soft sm:hidden">{decision.reason}</span>
          </Cell>
          <Cell className={`font-mono text-xs whitespace-nowrap ${wideOnly}`}>{decision.rule}</Cell>
          <Cell className={`min-w-64 break-words text-soft ${wideOnly}`}>{decision.reason}</Cell>
          <Cell className={`nums whitespace-nowrap ${wideOnly}`}>
            {duration(decision.sinceObservedMs > 0 ? decision.sinceObservedMs : decision.latencyMs)}
          </Cell>
        </Row>
      ))}
    </Table>
  );
}
