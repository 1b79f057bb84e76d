// Settings for many workloads at once: which are in force, and whom they bind.
import type { Policy } from "@aether/contract/gen/aether/v2/policy_pb";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { policyQueries } from "../api/policies.ts";
import { For } from "../app/caller.tsx";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { PolicyLink } from "../ui/links.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { PolicyFacts } from "./facts.tsx";

const Editor = lazy(() => import("./editor.tsx"));

export function PoliciesPage() {
  const { data: policies, error, refetch } = useQuery(policyQueries.list());
  const [editing, setEditing] = useState<{ readonly policy: Policy | undefined }>();
  return (
    <Page
      title="Policies"
      about="Settings for the workloads that their labels choose. What a workload's own spec says stands above them; of two policies the one of higher rank counts, of equals the one with more labels."
      aside={
        <For as="admin">
          <Button tone="primary" onClick={() => setEditing({ policy: undefined })}>
            New policy
          </Button>
        </For>
      }
    >
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      {policies?.length === 0 && (
        <Panel title="Policies">
          <Empty command="aether policy --help">No policy is in force: each workload has what its own spec says, and the defaults.</Empty>
        </Panel>
      )}
      <div className="grid items-start gap-4 lg:grid-cols-2">
        {policies?.map((policy) => (
          <Panel
            key={policy.name}
            title={<PolicyLink name={policy.name} />}
            aside={
              <For as="admin">
                <Button onClick={() => setEditing({ policy })}>Change</Button>
              </For>
            }
          >
            <PolicyFacts policy={policy} isInForce />
          </Panel>
        ))}
      </div>
      {editing !== undefined && (
        <Suspense>
          <Editor policy={editing.policy} taken={policies?.map(({ name }) => name) ?? []} onClose={() => setEditing(undefined)} />
        </Suspense>
      )}
    </Page>
  );
}
