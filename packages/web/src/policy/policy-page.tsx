// One policy at an address of its own: what it sets, whom it binds, and each version of it.
import type { Policy } from "@aether/contract/gen/aether/v2/policy_pb";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { policyApi, policyQueries } from "../api/policies.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { plural } from "../format/units.ts";
import { Ask } from "../ui/ask.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { useKnown } from "../ui/known.ts";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { VersionList } from "../versions/list.tsx";
import { NotInForce } from "../versions/not-in-force.tsx";
import { shownOf } from "../versions/shown.ts";
import { PolicyFacts, Selector } from "./facts.tsx";
import { settingsInWords } from "./settings.ts";

const Editor = lazy(() => import("./editor.tsx"));

export function PolicyPage() {
  const { name } = useParams({ from: "/policies/$name" });
  const { version: wanted } = useSearch({ from: "/policies/$name" });
  const current = useQuery(policyQueries.one(name));
  const versions = useQuery(policyQueries.versions(name));
  const [open, setOpen] = useState<"edit" | "delete">();
  const isKnown = useKnown([current, versions]);
  const { inForce, shown, isOld } = shownOf(current, versions, wanted, "POLICY_NOT_FOUND");
  if (!isKnown || shown === undefined) {
    return (
      <Page title={name}>{versions.error !== null && <ProblemNote error={versions.error} onRetry={() => void versions.refetch()} />}</Page>
    );
  }
  return (
    <Page
      title={name}
      heading={
        <span className="flex flex-wrap items-center gap-2">
          {name}
          {inForce === undefined ? <Badge tone="warn">deleted</Badge> : <Badge tone="good">version {inForce.version} in force</Badge>}
        </span>
      }
      aside={
        inForce !== undefined && (
          <For as="admin">
            <Button onClick={() => setOpen("delete")}>Delete</Button>
            <Button tone="primary" onClick={() => setOpen("edit")}>
              Change
            </Button>
          </For>
        )
      }
    >
      {isOld && <NotInForce what="policy" name={name} page="/policies/$name" shown={shown.version} inForce={inForce?.version} />}
      <div className="grid items-start gap-4 lg:grid-cols-2">
        <Panel title="What it says">
          {/* Only the one in force has workloads under it; an older version of the list knows none. */}
          <PolicyFacts policy={isOld ? shown : (inForce ?? shown)} isInForce={!isOld} />
        </Panel>
        <VersionList
          name={name}
          page="/policies/$name"
          versions={versions.data ?? []}
          shown={shown.version}
          head="says"
          says={(each) => (
            <>
              <Selector policy={each} />, rank {each.rank}: {settingsInWords(each.settings).join("; ") || "nothing is set"}
            </>
          )}
        />
      </div>
      {open === "edit" && inForce !== undefined && (
        <Suspense>
          <Editor policy={inForce} taken={[]} onClose={() => setOpen(undefined)} />
        </Suspense>
      )}
      {open === "delete" && inForce !== undefined && <Delete policy={inForce} onClose={() => setOpen(undefined)} />}
    </Page>
  );
}

function Delete({ policy: { name, workloads }, onClose }: { policy: Policy; onClose: () => void }) {
  const navigate = useNavigate();
  const remove = useAct(() => policyApi.deletePolicy({ name }), {
    touches: ["policy", "workload", "certificate"],
    done: () => `The policy ${name} is gone. Its versions stay readable.`,
    onDone: () => {
      onClose();
      void navigate({ to: "/policies" });
    },
  });
  return (
    <Ask
      title={`Delete the policy ${name}?`}
      act="Delete it"
      isBusy={remove.isPending}
      onAct={() => remove.mutate(undefined)}
      onClose={onClose}
    >
      <p>
        {workloads.length === 0
          ? "No workload is under it now."
          : `${plural(workloads.length, "workload")} under it ${workloads.length === 1 ? "has" : "have"} from the next decision on what other policies and its own spec say.`}{" "}
        Its versions stay readable.
      </p>
    </Ask>
  );
}
