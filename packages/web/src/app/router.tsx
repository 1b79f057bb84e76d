// Every page and what of it is in the URL. Pages are loaded when they are first gone to, but for the overview.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { OverviewPage } from "../overview/overview-page.tsx";
import { Empty } from "../ui/empty.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Shell } from "./shell.tsx";

const root = createRootRoute({
  component: Shell,
  notFoundComponent: () => (
    <Page title="Nothing here">
      <Empty>There is no such page. What you look for may have another name.</Empty>
    </Page>
  ),
  errorComponent: ({ error, reset }) => (
    <Page title="This page failed">
      <ProblemNote error={error} onRetry={reset} />
    </Page>
  ),
});

type Search = Readonly<Record<string, unknown>>;
const text = (search: Search, key: string): string | undefined =>
  typeof search[key] === "string" && search[key] !== "" ? search[key].slice(0, 200) : undefined;

/** Every value is a word: "version=2", as one would write it by hand, not the router's own JSON ("version=%222%22"). */
const words = {
  parseSearch: (search: string): Record<string, string> => Object.fromEntries(new URLSearchParams(search)),
  stringifySearch(search: Record<string, unknown>): string {
    const pairs = Object.entries(search).filter((pair): pair is [string, string] => typeof pair[1] === "string");
    return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
  },
};

const tab = (search: Search): { tab?: string } => optional({ tab: text(search, "tab") });
const tabAndWindow = (search: Search): { tab?: string; window?: string; open?: string } =>
  optional({ tab: text(search, "tab"), window: text(search, "window"), open: text(search, "open") });
/** Which row of the table is unfolded. */
const opened = (search: Search): { open?: string } => optional({ open: text(search, "open") });

/** Leaves out what is undefined, so that URLs stay short. */
function optional<Value extends Record<string, unknown>>(value: Value): { [Key in keyof Value]?: NonNullable<Value[Key]> } {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as {
    [Key in keyof Value]?: NonNullable<Value[Key]>;
  };
}

const page = <Path extends string>(path: Path) => ({ getParentRoute: () => root, path });

const routes = [
  createRoute({ ...page("/"), component: OverviewPage }),
  createRoute({
    ...page("/nodes"),
    validateSearch: (search: Search) =>
      optional({ q: text(search, "q"), state: text(search, "state"), pool: text(search, "pool"), sort: text(search, "sort") }),
    component: lazyRouteComponent(() => import("../node/nodes-page.tsx"), "NodesPage"),
  }),
  createRoute({
    ...page("/nodes/$id"),
    validateSearch: tabAndWindow,
    component: lazyRouteComponent(() => import("../node/node-page.tsx"), "NodePage"),
  }),
  createRoute({
    ...page("/workloads"),
    validateSearch: (search: Search) => optional({ q: text(search, "q"), state: text(search, "state") }),
    component: lazyRouteComponent(() => import("../workload/workloads-page.tsx"), "WorkloadsPage"),
  }),
  createRoute({
    ...page("/workloads/$name"),
    validateSearch: tabAndWindow,
    component: lazyRouteComponent(() => import("../workload/workload-page.tsx"), "WorkloadPage"),
  }),
  createRoute({
    ...page("/migrations"),
    validateSearch: (search: Search) => optional({ q: text(search, "q"), state: text(search, "state") }),
    component: lazyRouteComponent(() => import("../migration/migrations-page.tsx"), "MigrationsPage"),
  }),
  createRoute({
    ...page("/migrations/$id"),
    component: lazyRouteComponent(() => import("../migration/migration-page.tsx"), "MigrationPage"),
  }),
  createRoute({
    ...page("/drills"),
    validateSearch: tab,
    component: lazyRouteComponent(() => import("../drill/drills-page.tsx"), "DrillsPage"),
  }),
  createRoute({ ...page("/drills/$id"), component: lazyRouteComponent(() => import("../drill/drill-page.tsx"), "DrillPage") }),
  createRoute({
    ...page("/risk"),
    validateSearch: (search: Search) => optional({ subject: text(search, "subject") }),
    component: lazyRouteComponent(() => import("../risk/risk-page.tsx"), "RiskPage"),
  }),
  createRoute({
    ...page("/savings"),
    validateSearch: (search: Search) => optional({ days: text(search, "days") }),
    component: lazyRouteComponent(() => import("../savings/savings-page.tsx"), "SavingsPage"),
  }),
  createRoute({
    ...page("/decisions"),
    component: lazyRouteComponent(() => import("../decision/decisions-page.tsx"), "DecisionsPage"),
  }),
  createRoute({
    ...page("/decisions/$id"),
    component: lazyRouteComponent(() => import("../decision/decision-page.tsx"), "DecisionPage"),
  }),
  createRoute({
    ...page("/snapshots"),
    validateSearch: opened,
    component: lazyRouteComponent(() => import("../snapshot/snapshots-page.tsx"), "SnapshotsPage"),
  }),
  createRoute({
    ...page("/events"),
    validateSearch: (search: Search) => optional({ subject: text(search, "subject") }),
    component: lazyRouteComponent(() => import("../event/events-page.tsx"), "EventsPage"),
  }),
  createRoute({
    ...page("/audit"),
    validateSearch: (search: Search) =>
      optional({
        open: text(search, "open"),
        actor: text(search, "actor"),
        action: text(search, "action"),
        subject: text(search, "subject"),
        outcome: text(search, "outcome"),
      }),
    component: lazyRouteComponent(() => import("../audit/audit-page.tsx"), "AuditPage"),
  }),
  createRoute({ ...page("/policies"), component: lazyRouteComponent(() => import("../policy/policies-page.tsx"), "PoliciesPage") }),
  createRoute({
    ...page("/policies/$name"),
    validateSearch: (search: Search) => optional({ version: text(search, "version") }),
    component: lazyRouteComponent(() => import("../policy/policy-page.tsx"), "PolicyPage"),
  }),
  createRoute({
    ...page("/runbooks"),
    validateSearch: (search: Search) => optional({ tab: text(search, "tab"), start: text(search, "start"), node: text(search, "node") }),
    component: lazyRouteComponent(() => import("../runbook/runbooks-page.tsx"), "RunbooksPage"),
  }),
  createRoute({
    ...page("/runbooks/$name"),
    validateSearch: (search: Search) => optional({ version: text(search, "version") }),
    component: lazyRouteComponent(() => import("../runbook/runbook-page.tsx"), "RunbookPage"),
  }),
  createRoute({ ...page("/runbooks/runs/$id"), component: lazyRouteComponent(() => import("../runbook/run-page.tsx"), "RunPage") }),
  createRoute({
    ...page("/settings"),
    validateSearch: tab,
    component: lazyRouteComponent(() => import("../settings/settings-page.tsx"), "SettingsPage"),
  }),
] as const;

export const router = createRouter({
  routeTree: root.addChildren(routes),
  ...words,
  defaultPreload: "intent",
  scrollRestoration: true,
  defaultPendingMs: 300,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
