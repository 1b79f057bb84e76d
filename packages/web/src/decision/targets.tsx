// Where a workload could have gone: the one that was taken, and each other one with its score and what spoke for or against it.
import type { TargetScore } from "@aether/contract/gen/aether/v2/signal_pb";
import { Badge } from "../ui/badge.tsx";
import { NodeLink } from "../ui/links.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";

interface Props {
  readonly workload: string;
  readonly candidates: readonly TargetScore[];
  /** Empty: none. */
  readonly chosen: string;
}

/** Of a large fleet the best are what one compares. */
const mostShown = 50;

export function TargetTable({ workload, candidates, chosen }: Props) {
  if (candidates.length === 0) return null;
  const isChosen = ({ nodeId }: TargetScore) => nodeId === chosen;
  const sorted = [...candidates].sort(
    (a, b) => Number(isChosen(b)) - Number(isChosen(a)) || Number(b.isEligible) - Number(a.isEligible) || b.score - a.score,
  );
  return (
    <>
      <Table label={`Targets for ${workload}`} head={["target", "", "score", "what spoke for and against it"]}>
        {sorted.slice(0, mostShown).map((candidate) => (
          <Row key={candidate.nodeId}>
            <Cell>
              <NodeLink id={candidate.nodeId} />
            </Cell>
            <Cell>
              {isChosen(candidate) ? (
                <Badge tone="good">chosen</Badge>
              ) : candidate.isEligible ? (
                <Badge>possible</Badge>
              ) : (
                <Badge tone="bad">not possible</Badge>
              )}
            </Cell>
            <Cell className="nums">{candidate.isEligible ? Number(candidate.score.toFixed(2)) : "—"}</Cell>
            <Cell className="min-w-48 wrap-anywhere text-soft">{candidate.reasons.join(" · ") || "—"}</Cell>
          </Row>
        ))}
      </Table>
      {sorted.length > mostShown && (
        <p className="border-t border-line px-4 py-2 text-soft">and {sorted.length - mostShown} more that are not better</p>
      )}
    </>
  );
}
