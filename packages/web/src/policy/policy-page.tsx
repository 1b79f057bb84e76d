// One policy at an address of its own: what it sets, whom it binds, and each version of it.
import type { Policy } from "@aether/contract/gen/aether/v2/policy_pb";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { policyApi, policyQueries } from "../api/policies.ts";
import { problemOf } from "../api/problem.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { plural } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { PolicyFacts, Selector } from "./facts.tsx";
import { settingsInWords } from "./settings.ts";

const Editor = lazy(() => import("./editor.tsx"));

export function PolicyPage() {
  const { name } = useParams({ from: "/policies/$name" });
  const wanted = Number(useSearch({ from: "/policies/$name" }).version ?? 0);
  const current = useQuery(policyQueries.one(name));
  const versions = useQuery(policyQueries.versions(name));
  const [open, setOpen] = useState<"edit" | "delete">();
  const isGone = current.error !== null && problemOf(current.error).code === "POLICY_NOT_FOUND";
  const inForce = isGone ? undefined : current.data;
  const newest = versions.data?.[0];
  if (versions.data === undefined || (current.isPending && !isGone)) {
    return <Page title={name}>{versions.error !== null && <ProblemNote error={versions.error} />}</Page>;
  }
  const shown = versions.data.find(({ version }) => version === wanted) ?? inForce ?? newest;
  const isOld = shown !== undefined && shown.version !== inForce?.version;
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
      {isOld && (
        <div role="status" className="mb-4 rounded-lg border border-warn/40 bg-warn-ground px-4 py-3 text-warn">
          This is version {shown.version}, which is not in force
          {inForce === undefined ? ": the policy was deleted." : "."}{" "}
          {inForce !== undefined && (
            <Link to="/policies/$name" params={{ name }} search={{}} className="underline">
              Look at version {inForce.version}
            </Link>
          )}
        </div>
      )}
      <div className="grid items-start gap-4 lg:grid-cols-2">
        {shown !== undefined && (
          <Panel title="What it says">
            {/* Only the one in force has workloads under it; an older version of the list knows none. */}
            <PolicyFacts policy={isOld ? shown : (inForce ?? shown)} isInForce={!isOld} />
          </Panel>
        )}
        <Versions name={name} versions={versions.data} shown={shown?.version} />
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

function Versions({ name, versions, shown }: { name: string; versions: readonly Policy[]; shown: number | undefined }) {
  return (
    <Panel title={plural(versions.length, "version")} isFlush>
      <Table label={`Versions of ${name}`} head={["", "says", "set"]}>
        {versions.map((each) => (
          <Row key={each.version}>
            <Cell className="align-top">
              <Link
                to="/policies/$name"
                params={{ name }}
                search={{ version: String(each.version) }}
                aria-current={each.version === shown ? "true" : undefined}
                className={`nums hover:underline ${each.version === shown ? "font-semibold" : "font-medium"}`}
              >
                {each.version}
              </Link>
            </Cell>
            <Cell className="min-w-48 align-top wrap-anywhere">
              <Selector policy={each} />, rank {each.rank}: {settingsInWords(each.settings).join("; ") || "nothing is set"}
            </Cell>
            <Cell className="align-top text-soft">
              <Time at={each.changedAt} /> <span className="block text-xs wrap-anywhere">by {each.changedBy}</span>
            </Cell>
          </Row>
        ))}
      </Table>
    </Panel>
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
    <Dialog title={`Delete the policy ${name}?`} onClose={onClose}>
      <p>
        {workloads.length === 0
          ? "No workload is under it now."
          : `${plural(workloads.length, "workload")} under it ${workloads.length === 1 ? "has" : "have"} from the next decision on what other policies and its own spec say.`}{" "}
        Its versions stay readable.
      </p>
      <div className="mt-4 flex justify-end gap-2">
        <Button onClick={onClose}>Not now</Button>
        <Button tone="danger" isBusy={remove.isPending} onClick={() => remove.mutate(undefined)}>
          Delete it
        </Button>
      </div>
    </Dialog>
  );
}
