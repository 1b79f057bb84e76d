import type { Migration } from "@aether/contract/gen/aether/v2/migration_pb";
import { msOf } from "../format/time.ts";
import { duration } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Empty } from "../ui/empty.tsx";
import { MigrationLink, NodeLink, SubjectLink, WorkloadLink } from "../ui/links.tsx";
import { MigrationBadge, modeWord } from "../ui/states.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

export function MigrationTable({ migrations, workload }: { migrations: readonly Migration[]; workload?: string }) {
  if (migrations.length === 0) {
    return <Empty command={`aether migrate ${workload ?? "NAME"}`}>Nothing has moved yet.</Empty>;
  }
  return (
    <Table
      label="Migrations"
      head={["begun", ...(workload === undefined ? ["workload"] : []), "from → to", "state", "frozen", "whole move", "mode", "started by"]}
    >
      {migrations.map((each) => (
        <Row key={each.id}>
          <Cell>
            <MigrationLink id={each.id}>
              <Time at={each.createdAt} />
            </MigrationLink>
          </Cell>
          {workload === undefined && (
            <Cell>
              <WorkloadLink name={each.workload} />
            </Cell>
          )}
          <Cell className="whitespace-nowrap">
            <NodeLink id={each.sourceNodeId} /> → <NodeLink id={each.targetNodeId} />
          </Cell>
          <Cell>
            <span className="inline-flex gap-1">
              <MigrationBadge state={each.state} />
              {each.receipt !== undefined && !each.receipt.isWhole && <Badge tone="bad">not whole</Badge>}
            </span>
          </Cell>
          <Cell className="nums whitespace-nowrap">{each.receipt === undefined ? "—" : duration(each.receipt.freezeMs)}</Cell>
          <Cell className="nums whitespace-nowrap">{took(each)}</Cell>
          <Cell className="whitespace-nowrap text-soft">{modeWord(each.mode)}</Cell>
          <Cell className="text-soft">
            <SubjectLink subject={each.cause} {...causeWords(each.cause)} />
          </Cell>
        </Row>
      ))}
    </Table>
  );
}

function took({ createdAt, endedAt }: Migration): string {
  const [from, to] = [msOf(createdAt), msOf(endedAt)];
  return from === undefined || to === undefined ? "under way" : duration(to - from);
}

/** An id says nothing in a list: the noun does, and leads to it. */
const causeWords = (cause: string): { text?: string } => (/^(decision|drill)\//.test(cause) ? { text: `a ${cause.split("/")[0]}` } : {});
