// Policies: read by their page and by a workload's own.
import { GetPolicyResponseSchema, PolicySchema, PolicyService, SetPolicyResponseSchema } from "@aether/contract/gen/aether/v2/policy_pb";
import { create, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { queryOptions } from "@tanstack/react-query";
import { changeUnlessOvertaken } from "./if-match.ts";
import { everyPage } from "./lists.ts";
import { transport } from "./transport.ts";

export const policyApi = createClient(PolicyService, transport);

/**
 * Sets it, if it still is the version that the change was made from (0: there was none). Throws Overtaken with the GetPolicyResponse of now, or with
 * undefined where it was deleted.
 */
export const setPolicyFrom = (version: number, given: MessageInitShape<typeof PolicySchema>) =>
  changeUnlessOvertaken({
    path: `/api/v2/policies/${encodeURIComponent(given.name ?? "")}`,
    type: GetPolicyResponseSchema,
    isSame: (now) => (now?.policy?.version ?? 0) === version,
    method: "PUT",
    body: toJson(PolicySchema, create(PolicySchema, given)),
    answer: SetPolicyResponseSchema,
  });

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
  one: (name: string) =>
    queryOptions({
      queryKey: ["policy", "one", name],
      queryFn: async ({ signal }) => (await policyApi.getPolicy({ name }, { signal })).policy,
      retry: false,
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
