import { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { queries } from "../api/queries.ts";
import { words } from "../format/units.ts";
import { GuardPanel } from "../guard/panel.tsx";
import { Badge } from "../ui/badge.tsx";
import { useKnown } from "../ui/known.ts";
import { NodeLink } from "../ui/links.tsx";
import { Older } from "../ui/older.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { DecisionTable } from "./table.tsx";

export function DecisionsPage() {
  const all = useInfiniteQuery(queries.decisionPages());
  const heard = useQuery(queries.signals());
  const { data: decisions, error, refetch } = all;
  const { data: signals = [] } = heard;
  const isKnown = useKnown([all, heard, useQuery(queries.guards())]);
  return (
    <Page title="Decisions" about="What was heard, what was done about it and why, and why it was not. Kept for ever.">
      <div className="grid gap-4">
        {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
        {isKnown && decisions !== undefined && (
          <Panel title="Decisions" isFlush>
            <DecisionTable decisions={decisions} />
            <Older list={all} text="Older decisions" />
          </Panel>
        )}
        {isKnown && <GuardPanel />}
        {isKnown && signals.length > 0 && (
          <Panel title="Signals, as they were heard" isFlush>
            <Table label="Signals" head={["received", "signal", "node", "from", "takes effect", "action"]}>
              {signals.map((signal) => (
                <Row key={signal.id}>
                  <Cell>
                    <Time at={signal.receivedAt} />
                  </Cell>
                  <Cell>
                    <Badge tone={signal.kind === SignalKind.NOTICE || signal.kind === SignalKind.NODE_LOST ? "warn" : "plain"}>
                      {words(SignalKind[signal.kind])}
                    </Badge>
                  </Cell>
                  <Cell>
                    <NodeLink id={signal.nodeId} />
                  </Cell>
                  <Cell className="text-soft">{signal.source}</Cell>
                  <Cell>
                    <Time at={signal.effectiveAt} />
                  </Cell>
                  <Cell className="text-soft">{signal.action || "—"}</Cell>
                </Row>
              ))}
            </Table>
          </Panel>
        )}
      </div>
    </Page>
  );
}
