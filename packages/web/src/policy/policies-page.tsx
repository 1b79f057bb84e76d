// Settings for many workloads at once: which are in force, whom they bind, and what a change would do before it is made.
import type { Policy } from "@aether/contract/gen/aether/v2/policy_pb";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { policyApi, policyQueries } from "../api/policies.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { plural } from "../format/units.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Empty } from "../ui/empty.tsx";
import { Facts } from "../ui/facts.tsx";
import { WorkloadLink } from "../ui/links.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Time } from "../ui/time.tsx";
import { selectorText, settingsInWords } from "./settings.ts";

const Editor = lazy(() => import("./editor.tsx"));

type Open = { readonly kind: "edit" | "versions" | "delete"; readonly policy: Policy | undefined };

export function PoliciesPage() {
  const { data: policies, error, refetch } = useQuery(policyQueries.list());
  const [open, setOpen] = useState<Open>();
  const close = () => setOpen(undefined);
  return (
    <Page
      title="Policies"
      about="Settings for the workloads that their labels choose. What a workload's own spec says stands above them; of two policies the one of higher rank counts, of equals the one with more labels."
      aside={
        <For as="admin">
          <Button tone="primary" onClick={() => setOpen({ kind: "edit", policy: undefined })}>
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
          <PolicyPanel key={policy.name} policy={policy} onOpen={(kind) => setOpen({ kind, policy })} />
        ))}
      </div>
      {open?.kind === "edit" && (
        <Suspense>
          <Editor policy={open.policy} taken={policies?.map(({ name }) => name) ?? []} onClose={close} />
        </Suspense>
      )}
      {open?.kind === "versions" && open.policy !== undefined && <Versions policy={open.policy} onClose={close} />}
      {open?.kind === "delete" && open.policy !== undefined && <Delete policy={open.policy} onClose={close} />}
    </Page>
  );
}

const mostShown = 20;

function PolicyPanel({ policy, onOpen }: { policy: Policy; onOpen: (kind: Open["kind"]) => void }) {
  const { name, version, description, rank, settings, workloads, changedAt, changedBy } = policy;
  const sets = settingsInWords(settings);
  return (
    <Panel
      title={name}
      aside={
        <>
          <Button tone="quiet" onClick={() => onOpen("versions")}>
            Version {version}
          </Button>
          <For as="admin">
            <Button onClick={() => onOpen("edit")}>Change</Button>
            <Button onClick={() => onOpen("delete")}>Delete</Button>
          </For>
        </>
      }
    >
      {description !== "" && <p className="mb-2 wrap-anywhere text-soft">{description}</p>}
      <Facts
        facts={[
          ["workloads with", <Selector policy={policy} />],
          ["rank", rank],
          ["sets", sets.length === 0 ? "nothing" : sets.map((each) => <div key={each}>{each}</div>)],
          [
            "under it now",
            workloads.length === 0 ? (
              "none"
            ) : (
              <span className="flex flex-wrap gap-x-3">
                {workloads.slice(0, mostShown).map((each) => (
                  <WorkloadLink key={each} name={each} />
                ))}
                {workloads.length > mostShown && <span className="text-soft">and {workloads.length - mostShown} more</span>}
              </span>
            ),
          ],
          [
            "changed",
            <>
              <Time at={changedAt} /> by {changedBy}
            </>,
          ],
        ]}
      />
    </Panel>
  );
}

function Selector({ policy }: { policy: Policy }) {
  const text = selectorText(policy);
  return text === "" ? "any labels: every workload" : <code className="font-mono text-xs">{text}</code>;
}

function Versions({ policy: { name }, onClose }: { policy: Policy; onClose: () => void }) {
  const { data: versions = [], error } = useQuery(policyQueries.versions(name));
  return (
    <Dialog title={`Versions of ${name}`} onClose={onClose}>
      {error !== null && <ProblemNote error={error} />}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard (WCAG 2.1.1) */}
      <ol className="grid max-h-[60dvh] gap-3 overflow-y-auto" tabIndex={0} aria-label="Versions, the newest first">
        {versions.map((each) => (
          <li key={each.version}>
            <p>
              <span className="font-medium">Version {each.version}</span>{" "}
              <span className="text-soft">
                <Time at={each.changedAt} /> by {each.changedBy}
              </span>
            </p>
            <p>
              <Selector policy={each} />, rank {each.rank}: {settingsInWords(each.settings).join("; ") || "nothing is set"}
            </p>
            {each.description !== "" && <p className="wrap-anywhere text-soft">{each.description}</p>}
          </li>
        ))}
      </ol>
      <div className="mt-4 flex justify-end">
        <Button onClick={onClose}>Close</Button>
      </div>
    </Dialog>
  );
}

function Delete({ policy: { name, workloads }, onClose }: { policy: Policy; onClose: () => void }) {
  const remove = useAct(() => policyApi.deletePolicy({ name }), {
    touches: ["policy", "workload", "certificate"],
    done: () => `The policy ${name} is gone. Its versions stay readable.`,
    onDone: onClose,
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
