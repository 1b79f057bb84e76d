// Policies: read by their page and by a workload's own.
import { PolicyService } from "@aether/contract/gen/aether/v2/policy_pb";
import { createClient } from "@connectrpc/connect";
import { queryOptions } from "@tanstack/react-query";
import { everyPage } from "./lists.ts";
import { transport } from "./transport.ts";

export const policyApi = createClient(PolicyService, transport);

const most = 500;

export const policyQueries = {
  list: () =>
    queryOptions({
      queryKey: ["policy", "list"],
      queryFn: ({ signal }) =>
        everyPage(
          (page) => policyApi.listPolicies({ page }, { signal }),
          ({ policies }) => policies,
          most,
        ),
    }),
  versions: (name: string) =>
    queryOptions({
      queryKey: ["policy", "versions", name],
      queryFn: ({ signal }) =>
        everyPage(
          (page) => policyApi.listPolicyVersions({ name, page }, { signal }),
          ({ policies }) => policies,
          most,
        ),
    }),
  ofWorkload: (workload: string) =>
    queryOptions({
      queryKey: ["policy", "workload", workload],
      queryFn: ({ signal }) => policyApi.getWorkloadPolicy({ workload }, { signal }),
    }),
};
