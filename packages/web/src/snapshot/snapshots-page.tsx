import { useQuery } from "@tanstack/react-query";
import { snapshotQueries } from "../api/snapshots.ts";
import { plural } from "../format/units.ts";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { SnapshotTable } from "./table.tsx";

export function SnapshotsPage() {
  const { data, error, refetch } = useQuery(snapshotQueries.list());
  return (
    <Page title="Snapshots" about="Checkpoints in the store: memory, files and connections of a workload as they were at one moment.">
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      {data !== undefined && (
        <Panel title={data.length === 100 ? "The last hundred" : plural(data.length, "snapshot")} isFlush>
          <SnapshotTable snapshots={data} />
        </Panel>
      )}
    </Page>
  );
}
