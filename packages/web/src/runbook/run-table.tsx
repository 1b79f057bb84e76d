import type { RunbookRun } from "@aether/contract/gen/aether/v2/runbook_pb";
import { RunbookLink, RunLink } from "../ui/links.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { RunBadge, valuesText } from "./states.tsx";

/** @param isOfOne all of one runbook, which is named above */
export function RunTable({ runs, isOfOne = false }: { runs: readonly RunbookRun[]; isOfOne?: boolean }) {
  return (
    <Table label="Runs" head={["started", ...(isOfOne ? ["version"] : ["runbook"]), "with", "state", "steps", "by"]}>
      {runs.map((run) => (
        <Row key={run.id}>
          <Cell>
            <RunLink id={run.id}>
              <Time at={run.startedAt} />
            </RunLink>
          </Cell>
          <Cell className="nums">{isOfOne ? run.version : <RunbookLink name={run.runbook} version={String(run.version)} />}</Cell>
          <Cell className="min-w-28 font-mono text-xs wrap-anywhere">{valuesText(run.parameters)}</Cell>
          <Cell>
            <RunBadge state={run.state} />
          </Cell>
          <Cell className="nums whitespace-nowrap">
            {run.steps.filter(({ endedAt }) => endedAt !== undefined).length} of {run.steps.length}
          </Cell>
          <Cell>{run.startedBy}</Cell>
        </Row>
      ))}
    </Table>
  );
}
