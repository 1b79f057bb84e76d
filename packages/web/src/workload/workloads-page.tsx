import { type Workload, WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { queries } from "../api/queries.ts";
import { plural } from "../format/units.ts";
import { inputLook } from "../ui/fields.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { workloadWord } from "../ui/states.tsx";
import { WorkloadTable } from "./table.tsx";

const isInTrouble = ({ state }: Workload) =>
  [WorkloadState.FAILED, WorkloadState.LOST, WorkloadState.NEEDS_OPERATOR, WorkloadState.EXITED].includes(state);

const shownAtMost = 300;

export function WorkloadsPage() {
  const search = useSearch({ from: "/workloads" });
  const navigate = useNavigate({ from: "/workloads" });
  const { data, error, refetch } = useQuery(queries.workloads());
  const found = useMemo(() => {
    const wanted = (search.q ?? "").trim().toLowerCase();
    return (data ?? [])
      .filter(
        (each) =>
          search.state === undefined || (search.state === "trouble" ? isInTrouble(each) : workloadWord(each.state) === search.state),
      )
      .filter(
        ({ spec, nodeId }) =>
          wanted === "" || (spec?.name ?? "").includes(wanted) || nodeId.includes(wanted) || (spec?.address ?? "").includes(wanted),
      )
      .sort(
        (a, b) =>
          Number(isInTrouble(b)) - Number(isInTrouble(a)) ||
          (a.spec?.name ?? "").localeCompare(b.spec?.name ?? "", "en", { numeric: true }),
      );
  }, [data, search]);
  const set = (change: { [Key in keyof typeof search]?: string | undefined }) =>
    void navigate({
      search: (before) =>
        Object.fromEntries(Object.entries({ ...before, ...change }).filter(([, value]) => value !== undefined && value !== "")),
      replace: true,
    });
  const states = [...new Set((data ?? []).map(({ state }) => workloadWord(state)))].sort();
  return (
    <Page title="Workloads" about="Stateful process trees, each with an address that moves with it.">
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      <search className="mb-3 flex flex-wrap items-center gap-2">
        <input
          type="search"
          aria-label="Search workloads by name, node or address"
          placeholder="Name, node or address"
          className={`${inputLook} sm:max-w-72`}
          value={search.q ?? ""}
          onChange={(event) => set({ q: event.target.value })}
        />
        <select
          aria-label="State"
          className={`${inputLook} !w-auto`}
          value={search.state ?? ""}
          onChange={(event) => set({ state: event.target.value })}
        >
          <option value="">State: all</option>
          <option value="trouble">needs a look</option>
          {states.map((state) => (
            <option key={state}>{state}</option>
          ))}
        </select>
      </search>
      {data !== undefined && (
        <Panel title={plural(found.length, "workload")} isFlush>
          <WorkloadTable workloads={found.slice(0, shownAtMost)} />
          {found.length > shownAtMost && (
            <p className="border-t border-line px-4 py-2 text-soft">The first {shownAtMost} are shown; search for the others.</p>
          )}
        </Panel>
      )}
    </Page>
  );
}
