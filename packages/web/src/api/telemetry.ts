import { TelemetryService } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { createClient } from "@connectrpc/connect";
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { transport } from "./transport.ts";

const telemetryApi = createClient(TelemetryService, transport);

export const telemetryQueries = {
  node: (id: string, windowSeconds: number) =>
    queryOptions({
      queryKey: ["telemetry", "node", id, windowSeconds],
      queryFn: ({ signal }) => telemetryApi.getNodeTelemetry({ id, windowSeconds }, { signal }),
      placeholderData: keepPreviousData,
    }),
  workload: (name: string, windowSeconds: number) =>
    queryOptions({
      queryKey: ["telemetry", "workload", name, windowSeconds],
      queryFn: ({ signal }) => telemetryApi.getWorkloadTelemetry({ name, windowSeconds }, { signal }),
      placeholderData: keepPreviousData,
    }),
};
