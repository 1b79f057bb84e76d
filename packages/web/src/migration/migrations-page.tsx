// Every move, page by page. What is looked for is in the address.
import { type Migration, MigrationState } from "@aether/contract/gen/aether/v2/migration_pb";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { queries } from "../api/queries.ts";
import { plural } from "../format/units.ts";
import { inputLook } from "../ui/fields.tsx";
import { Older } from "../ui/older.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { MigrationTable } from "./table.tsx";

interface Filter {
  readonly title: string;
  readonly fits: (migration: Migration) => boolean;
}

const filters: Readonly<Record<string, Filter>> = {
  "under-way": { title: "under way", fits: ({ endedAt }) => endedAt === undefined },
  back: { title: "went back", fits: ({ state }) => state === MigrationState.ROLLED_BACK },
  operator: { title: "need a person", fits: ({ state }) => state === MigrationState.NEEDS_OPERATOR },
  "not-whole": { title: "not whole", fits: ({ receipt }) => receipt !== undefined && !receipt.isWhole },
};

export function MigrationsPage() {
  const { q = "", state } = useSearch({ from: "/migrations" });
  const navigate = useNavigate({ from: "/migrations" });
  const filter = state === undefined ? undefined : filters[state];
  // Those under way are asked for as such, however many moves came after them.
  const list = useInfiniteQuery(queries.migrationPages(state === "under-way"));
  const all = list.data;
  const found = useMemo(() => {
    const wanted = q.trim().toLowerCase();
    return (all ?? []).filter(
      (each) =>
        filter?.fits(each) !== false &&
        (wanted === "" || [each.workload, each.sourceNodeId, each.targetNodeId].some((name) => name.includes(wanted))),
    );
  }, [all, filter, q]);
  const set = (change: { q?: string; state?: string }) =>
    void navigate({
      search: (before) => Object.fromEntries(Object.entries({ ...before, ...change }).filter(([, value]) => value !== "")),
      replace: true,
    });
  return (
    <Page title="Migrations" about="Every move of a workload from one node to another, the newest first.">
      {list.error !== null && <ProblemNote error={list.error} onRetry={() => void list.refetch()} />}
      <search className="mb-3 flex flex-wrap items-center gap-2">
        <input
          type="search"
          aria-label="Search moves by workload or node"
          placeholder="Workload or node"
          className={`${inputLook} sm:max-w-72`}
          value={q}
          onChange={(event) => set({ q: event.target.value })}
        />
        <select
          aria-label="Which moves"
          className={`${inputLook} !w-auto`}
          value={state ?? ""}
          onChange={(event) => set({ state: event.target.value })}
        >
          <option value="">All moves</option>
          {Object.entries(filters).map(([id, { title }]) => (
            <option key={id} value={id}>
              {title}
            </option>
          ))}
        </select>
      </search>
      {all !== undefined && (
        <Panel
          title={list.hasNextPage ? `${plural(found.length, "move")} of the newest ${all.length}` : plural(found.length, "move")}
          isFlush
        >
          {all.length > 0 && found.length === 0 ? (
            <p className="px-4 py-6 text-soft">No move fits.</p>
          ) : (
            <MigrationTable migrations={found} />
          )}
          <Older list={list} text="Older moves" />
        </Panel>
      )}
    </Page>
  );
}
