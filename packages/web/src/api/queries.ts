// What the views read, each under a key whose first word is the noun that live events name (live/invalidate.ts).
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api } from "./clients.ts";
import { everyPage } from "./lists.ts";
import { problemOf } from "./problem.ts";

/** More nodes than this are not shown, and the page says so. */
export const mostNodes = 20_000;
const recent = 100;

/** Slow where there are many: 10,000 nodes are ten answers of a thousand. */
const freshMs = (count: number | undefined) => Math.max(3_000, (count ?? 0) * 3);

/** What an older control plane does not serve is asked for once, not for ever. */
export const unlessNotServed = (ms: number) => (query: { state: { error: unknown } }) =>
  query.state.error !== null && problemOf(query.state.error).isNotServed ? false : ms;

export const queries = {
  caller: () =>
    queryOptions({
      queryKey: ["caller"],
      queryFn: async ({ signal }) => (await api.accounts.getCaller({}, { signal })).caller,
      staleTime: 60_000,
    }),
  nodes: () =>
    queryOptions({
      queryKey: ["node"],
      queryFn: ({ signal }) =>
        everyPage(
          (page) => api.nodes.listNodes({ page }, { signal }),
          ({ nodes }) => nodes,
          mostNodes,
        ),
      refetchInterval: (query) => freshMs(query.state.data?.length),
    }),
  node: (id: string) =>
    queryOptions({
      queryKey: ["node", id],
      queryFn: async ({ signal }) => (await api.nodes.getNode({ id }, { signal })).node,
      refetchInterval: 3_000,
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
      refetchInterval: (query) => freshMs(query.state.data?.length),
    }),
  workload: (name: string) =>
    queryOptions({
      queryKey: ["workload", name],
      queryFn: async ({ signal }) => (await api.workloads.getWorkload({ name }, { signal })).workload,
      refetchInterval: 3_000,
    }),
  migrations: (workload = "") =>
    queryOptions({
      queryKey: ["migration", "list", workload],
      queryFn: async ({ signal }) => (await api.migrations.listMigrations({ workload, page: { pageSize: recent } }, { signal })).migrations,
    }),
  migration: (id: string) =>
    queryOptions({
      queryKey: ["migration", id],
      queryFn: async ({ signal }) => (await api.migrations.getMigration({ id }, { signal })).migration,
      refetchInterval: (query) => (query.state.data !== undefined && query.state.data.endedAt === undefined ? 500 : false),
    }),
  drills: () =>
    queryOptions({
      queryKey: ["drill"],
      queryFn: async ({ signal }) => (await api.drills.listDrills({ page: { pageSize: recent } }, { signal })).drills,
    }),
  drill: (id: string) =>
    queryOptions({
      queryKey: ["drill", id],
      queryFn: async ({ signal }) => (await api.drills.getDrill({ id }, { signal })).drill,
      refetchInterval: (query) => (query.state.data !== undefined && query.state.data.endedAt === undefined ? 1_000 : false),
    }),
  oracles: (seconds = 120) =>
    queryOptions({
      queryKey: ["oracle", seconds],
      queryFn: async ({ signal }) => (await api.drills.listOracles({ seconds }, { signal })).oracles,
      refetchInterval: 1_000,
    }),
  decisions: (nodeId = "") =>
    queryOptions({
      queryKey: ["decision", "list", nodeId],
      queryFn: async ({ signal }) => (await api.decisions.listDecisions({ nodeId, page: { pageSize: recent } }, { signal })).decisions,
    }),
  decision: (id: string) =>
    queryOptions({
      queryKey: ["decision", id],
      queryFn: async ({ signal }) => (await api.decisions.getDecision({ id }, { signal })).decision,
    }),
  signals: (nodeId = "") =>
    queryOptions({
      queryKey: ["signal", nodeId],
      queryFn: async ({ signal }) => (await api.signals.listSignals({ nodeId, page: { pageSize: recent } }, { signal })).signals,
    }),
  snapshots: (workload = "") =>
    queryOptions({
      queryKey: ["snapshot", workload],
      queryFn: async ({ signal }) => (await api.snapshots.listSnapshots({ workload, page: { pageSize: recent } }, { signal })).snapshots,
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
      queryFn: async ({ signal }) =>
        (await api.events.listEvents({ subject, newestFirst: true, page: { pageSize: recent } }, { signal })).events,
    }),
  nodeTelemetry: (id: string, windowSeconds: number) =>
    queryOptions({
      queryKey: ["telemetry", "node", id, windowSeconds],
      queryFn: ({ signal }) => api.telemetry.getNodeTelemetry({ id, windowSeconds }, { signal }),
      refetchInterval: windowSeconds > 3600 ? 60_000 : 5_000,
      placeholderData: keepPreviousData,
    }),
  workloadTelemetry: (name: string, windowSeconds: number) =>
    queryOptions({
      queryKey: ["telemetry", "workload", name, windowSeconds],
      queryFn: ({ signal }) => api.telemetry.getWorkloadTelemetry({ name, windowSeconds }, { signal }),
      refetchInterval: windowSeconds > 3600 ? 60_000 : 5_000,
      placeholderData: keepPreviousData,
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
      refetchInterval: unlessNotServed(10_000),
    }),
  certificate: (workload: string) =>
    queryOptions({
      queryKey: ["certificate", workload],
      queryFn: async ({ signal }) => (await api.certificates.getCertificate({ workload }, { signal })).certificate,
      refetchInterval: unlessNotServed(5_000),
    }),
  guards: () =>
    queryOptions({
      queryKey: ["guard"],
      queryFn: async ({ signal }) => (await api.guards.getGuards({}, { signal })).guards,
      refetchInterval: unlessNotServed(10_000),
    }),
};
