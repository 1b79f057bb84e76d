// Every setting of a workload as it counts now, and where it comes from. Nothing where the control plane has no policies.
import { useQuery } from "@tanstack/react-query";
import { policyQueries } from "../api/policies.ts";
import { SubjectLink } from "../ui/links.tsx";
import { Panel } from "../ui/panel.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { settingName } from "./settings.ts";

export function SettingsInForce({ workload }: { workload: string }) {
  const { data } = useQuery(policyQueries.ofWorkload(workload));
  if (data === undefined || data.settings.length === 0) return null;
  return (
    <Panel title="Settings in force" isFlush>
      <Table label="Settings in force" head={["setting", "value", "from"]}>
        {data.settings.map(({ name, value, source }) => (
          <Row key={`${name}/${source}`}>
            <Cell className="text-soft">{settingName(name)}</Cell>
            <Cell className="nums min-w-24">{value}</Cell>
            <Cell className={source === "default" ? "text-soft" : ""}>
              {source.startsWith("policy/") ? <SubjectLink subject={source} text={source} /> : source}
            </Cell>
          </Row>
        ))}
      </Table>
    </Panel>
  );
}
