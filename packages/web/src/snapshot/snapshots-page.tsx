import { useQuery } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";
import { snapshotQueries } from "../api/snapshots.ts";
import { plural } from "../format/units.ts";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { SnapshotTable } from "./table.tsx";

export function SnapshotsPage() {
  const { open } = useSearch({ from: "/snapshots" });
  const { data, error, refetch } = useQuery(snapshotQueries.list());
  // One that a link asks for is shown, also where it is older than the list.
  const isElsewhere = open !== undefined && data !== undefined && !data.some(({ id }) => id === open);
  const asked = useQuery({ ...snapshotQueries.one(open ?? ""), enabled: isElsewhere });
  return (
    <Page title="Snapshots" about="Checkpoints in the store: memory, files and connections of a workload as they were at one moment.">
      <div className="grid gap-4">
        {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
        {isElsewhere && asked.error !== null && <p className="text-soft">{open} is not kept any more.</p>}
        {isElsewhere && asked.data && (
          <Panel title="The one that was asked for" isFlush>
            <SnapshotTable snapshots={[asked.data]} />
          </Panel>
        )}
        {data !== undefined && (
          <Panel title={data.length === 100 ? "The last hundred" : plural(data.length, "snapshot")} isFlush>
            <SnapshotTable snapshots={data} />
          </Panel>
        )}
      </div>
    </Page>
  );
}
