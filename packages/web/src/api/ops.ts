// The control plane looked after: read by the settings alone.
import { OpsService } from "@aether/contract/gen/aether/v2/ops_pb";
import { createClient } from "@connectrpc/connect";
import { queryOptions } from "@tanstack/react-query";
import { transport } from "./transport.ts";

export const opsApi = createClient(OpsService, transport);

export const opsQueries = {
  retention: () =>
    queryOptions({ queryKey: ["retention"], queryFn: async ({ signal }) => (await opsApi.getRetention({}, { signal })).retention }),
  config: () => queryOptions({ queryKey: ["config"], queryFn: ({ signal }) => opsApi.getConfig({}, { signal }) }),
  manifest: (includeSnapshots: boolean) =>
    queryOptions({
      queryKey: ["diagnostics", includeSnapshots],
      queryFn: ({ signal }) => opsApi.getDiagnosticsManifest({ includeSnapshots }, { signal }),
      staleTime: 0,
    }),
};
