import { useQuery } from "@tanstack/react-query";
import { queries } from "../api/queries.ts";
import { plural } from "../format/units.ts";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { MigrationTable } from "./table.tsx";

export function MigrationsPage() {
  const { data, error, refetch } = useQuery(queries.migrations());
  return (
    <Page title="Migrations" about="Every move of a workload from one node to another, the newest first.">
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      {data !== undefined && (
        <Panel title={data.length === 100 ? "The last hundred" : plural(data.length, "migration")} isFlush>
          <MigrationTable migrations={data} />
        </Panel>
      )}
    </Page>
  );
}
