// The control plane looked after: read by the settings alone.
import {
  type GetRetentionResponse,
  GetRetentionResponseSchema,
  OpsService,
  type RetentionRule,
  UpdateRetentionResponseSchema,
} from "@aether/contract/gen/aether/v2/ops_pb";
import { createClient } from "@connectrpc/connect";
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { changeUnlessOvertaken } from "./if-match.ts";
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
      placeholderData: keepPreviousData,
    }),
};

export const ruleIn = (answer: GetRetentionResponse | undefined, name: string): RetentionRule | undefined =>
  answer?.retention?.rules.find((rule) => rule.name === name);

/** telemetry_days: telemetryDays, as the contract's JSON has it. */
const fieldOf = (name: string): string => name.replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase());

/** Sets one rule, if it still says `from`. Throws Overtaken with the GetRetentionResponse of now. */
export const setRetentionFrom = (name: string, from: number, value: number) =>
  changeUnlessOvertaken({
    path: "/api/v2/retention",
    type: GetRetentionResponseSchema,
    isSame: (now) => ruleIn(now, name)?.value === from,
    method: "PATCH",
    body: { change: { [fieldOf(name)]: value } },
    answer: UpdateRetentionResponseSchema,
  });
