// One policy at an address of its own: what it sets, whom it binds, and each version of it.
import type { Policy } from "@aether/contract/gen/aether/v2/policy_pb";
import { useQuery } from "@tanstack/react-query";
import { useParams, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { policyApi, policyQueries } from "../api/policies.ts";
import { For } from "../app/caller.tsx";
import { plural } from "../format/units.ts";
import { Button } from "../ui/button.tsx";
import { Panel } from "../ui/panel.tsx";
import { DeleteVersioned } from "../versions/delete.tsx";
import { VersionList } from "../versions/list.tsx";
import { VersionedThing } from "../versions/page.tsx";
import { PolicyFacts, Selector } from "./facts.tsx";
import { settingsInWords } from "./settings.ts";

const Editor = lazy(() => import("./editor.tsx"));

export function PolicyPage() {
  const { name } = useParams({ from: "/policies/$name" });
  const { version } = useSearch({ from: "/policies/$name" });
  const current = useQuery(policyQueries.one(name));
  const versions = useQuery(policyQueries.versions(name));
  const [open, setOpen] = useState<"edit" | "delete">();
  const close = () => setOpen(undefined);
  return (
    <VersionedThing
      what="policy"
      name={name}
      page="/policies/$name"
      wanted={version}
      current={current}
      versions={versions}
      notFound="POLICY_NOT_FOUND"
      aside={({ inForce }) =>
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
      {({ inForce, shown, isOld }) => (
        <>
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
              <Editor policy={inForce} taken={[]} onClose={close} />
            </Suspense>
          )}
          {open === "delete" && inForce !== undefined && <Delete policy={inForce} onClose={close} />}
        </>
      )}
    </VersionedThing>
  );
}

const Delete = ({ policy: { name, workloads }, onClose }: { policy: Policy; onClose: () => void }) => (
  <DeleteVersioned
    what="policy"
    name={name}
    remove={() => policyApi.deletePolicy({ name })}
    touches={["policy", "workload", "certificate"]}
    stays="Its versions stay readable."
    list="/policies"
    onClose={onClose}
  >
    {workloads.length === 0
      ? "No workload is under it now."
      : `${plural(workloads.length, "workload")} under it ${workloads.length === 1 ? "has" : "have"} from the next decision on what other policies and its own spec say.`}
  </DeleteVersioned>
);
