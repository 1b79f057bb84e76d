import { SnapshotService } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { createClient } from "@connectrpc/connect";
import { queryOptions } from "@tanstack/react-query";
import { transport } from "./transport.ts";

export const snapshotApi = createClient(SnapshotService, transport);

const recent = 100;

export const snapshotQueries = {
  list: (workload = "") =>
    queryOptions({
      queryKey: ["snapshot", workload],
      queryFn: async ({ signal }) => (await snapshotApi.listSnapshots({ workload, page: { pageSize: recent } }, { signal })).snapshots,
    }),
  one: (id: string) =>
    queryOptions({
      queryKey: ["snapshot", "one", id],
      queryFn: async ({ signal }) => (await snapshotApi.getSnapshot({ id }, { signal })).snapshot ?? null,
      retry: false,
    }),
};
