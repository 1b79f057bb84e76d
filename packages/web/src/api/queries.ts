// What the views read, each under a key whose first word is the noun that live events name (live/invalidate.ts).
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api } from "./clients.ts";
import { everyPage } from "./lists.ts";

/** More nodes than this are not shown, and the page says so. */
export const mostNodes = 20_000;
/** How many of what comes and goes are listed at once. */
export const mostRecent = 100;

export const queries = {
  caller: () =>
    queryOptions({
      queryKey: ["caller"],
      queryFn: async ({ signal }) => (await api.accounts.getCaller({}, { signal })).caller,
      staleTime: 60_000,
    }),
  /** Where traces are shown; undefined: nowhere. */
  traceUrl: () =>
    queryOptions({
      queryKey: ["trace-url"],
      queryFn: async ({ signal }) => (await api.accounts.getCaller({}, { signal })).traceUrl || null,
      staleTime: Number.POSITIVE_INFINITY,
    }),
  nodes: () =>
    queryOptions({
      queryKey: ["node"],
      // Ten thousand messages are not compared field by field.
      structuralSharing: false,
      queryFn: ({ signal, client, queryKey }) => {
        // The first thousand is shown while the others are read; what is shown already is never made less.
        const isFirst = client.getQueryData(queryKey) === undefined;
        return everyPage(
          (page) => api.nodes.listNodes({ page }, { signal }),
          ({ nodes }) => nodes,
          mostNodes,
          isFirst ? (found) => client.setQueryData(queryKey, found) : undefined,
        );
      },
    }),
  node: (id: string) =>
    queryOptions({
      queryKey: ["node", id],
      queryFn: async ({ signal }) => (await api.nodes.getNode({ id }, { signal })).node,
    }),
  workloads: () =>
    queryOptions({
      queryKey: ["workload"],
      queryFn: ({ signal }) =>
        everyPage(
          (page) => api.workloads.listWorkloads({ page }, { signal }),
          ({ workloads }) => workloads,
          mostNodes,
        ),
    }),
  workload: (name: string) =>
    queryOptions({
      queryKey: ["workload", name],
      queryFn: async ({ signal }) => (await api.workloads.getWorkload({ name }, { signal })).workload,
    }),
  migrations: (workload = "") =>
    queryOptions({
      queryKey: ["migration", "list", workload],
      queryFn: async ({ signal }) =>
        (await api.migrations.listMigrations({ workload, page: { pageSize: mostRecent } }, { signal })).migrations,
    }),
  /** Page by page, the newest first. */
  migrationPages: (activeOnly = false) =>
    infiniteQueryOptions({
      queryKey: ["migration", "list", "pages", activeOnly],
      queryFn: ({ pageParam, signal }) =>
        api.migrations.listMigrations({ activeOnly, page: { pageSize: mostRecent, pageToken: pageParam } }, { signal }),
      initialPageParam: "",
      getNextPageParam: ({ nextPageToken }) => nextPageToken || undefined,
      select: ({ pages }) => pages.flatMap(({ migrations }) => migrations),
    }),
  /** However many moves came after them. */
  movesUnderWay: () =>
    queryOptions({
      queryKey: ["migration", "list", "under-way"],
      queryFn: ({ signal }) =>
        everyPage(
          (page) => api.migrations.listMigrations({ activeOnly: true, page }, { signal }),
          ({ migrations }) => migrations,
          mostNodes,
        ),
    }),
  migration: (id: string) =>
    queryOptions({
      queryKey: ["migration", id],
      queryFn: async ({ signal }) => (await api.migrations.getMigration({ id }, { signal })).migration,
    }),
  drills: () =>
    queryOptions({
      queryKey: ["drill"],
      queryFn: async ({ signal }) => (await api.drills.listDrills({ page: { pageSize: mostRecent } }, { signal })).drills,
    }),
  drill: (id: string) =>
    queryOptions({
      queryKey: ["drill", id],
      queryFn: async ({ signal }) => (await api.drills.getDrill({ id }, { signal })).drill,
    }),
  oracles: (seconds = 120) =>
    queryOptions({
      queryKey: ["oracle", seconds],
      queryFn: async ({ signal }) => (await api.drills.listOracles({ seconds }, { signal })).oracles,
    }),
  decisions: (nodeId = "") =>
    queryOptions({
      queryKey: ["decision", "list", nodeId],
      queryFn: async ({ signal }) => (await api.decisions.listDecisions({ nodeId, page: { pageSize: mostRecent } }, { signal })).decisions,
    }),
  decisionPages: () =>
    infiniteQueryOptions({
      queryKey: ["decision", "list", "pages"],
      queryFn: ({ pageParam, signal }) => api.decisions.listDecisions({ page: { pageSize: mostRecent, pageToken: pageParam } }, { signal }),
      initialPageParam: "",
      getNextPageParam: ({ nextPageToken }) => nextPageToken || undefined,
      select: ({ pages }) => pages.flatMap(({ decisions }) => decisions),
    }),
  decision: (id: string) =>
    queryOptions({
      queryKey: ["decision", id],
      queryFn: async ({ signal }) => (await api.decisions.getDecision({ id }, { signal })).decision,
    }),
  signals: (nodeId = "") =>
    queryOptions({
      queryKey: ["signal", nodeId],
      queryFn: async ({ signal }) => (await api.signals.listSignals({ nodeId, page: { pageSize: mostRecent } }, { signal })).signals,
    }),
  events: (subject: string) =>
    queryOptions({
      queryKey: ["event", subject],
      queryFn: ({ signal }) =>
        everyPage(
          (page) => api.events.listEvents({ subject, page }, { signal }),
          ({ events }) => events,
          1_000,
        ),
    }),
  recentEvents: (subject = "") =>
    queryOptions({
      queryKey: ["recent-events", subject],
      queryFn: ({ signal }) => api.events.listEvents({ subject, newestFirst: true, page: { pageSize: mostRecent } }, { signal }),
    }),
  /** @param after where the newest ended */
  olderEvents: (after: string) =>
    infiniteQueryOptions({
      queryKey: ["older-events", after],
      queryFn: ({ pageParam, signal }) =>
        api.events.listEvents({ newestFirst: true, page: { pageSize: mostRecent, pageToken: pageParam } }, { signal }),
      initialPageParam: after,
      getNextPageParam: ({ nextPageToken }) => nextPageToken || undefined,
      staleTime: Number.POSITIVE_INFINITY,
    }),
  certificates: () =>
    queryOptions({
      queryKey: ["certificate"],
      queryFn: ({ signal }) =>
        everyPage(
          (page) => api.certificates.listCertificates({ page }, { signal }),
          ({ certificates }) => certificates,
          mostNodes,
        ),
    }),
  certificate: (workload: string) =>
    queryOptions({
      queryKey: ["certificate", workload],
      queryFn: async ({ signal }) => (await api.certificates.getCertificate({ workload }, { signal })).certificate,
    }),
  guards: () =>
    queryOptions({
      queryKey: ["guard"],
      queryFn: async ({ signal }) => (await api.guards.getGuards({}, { signal })).guards,
    }),
};
