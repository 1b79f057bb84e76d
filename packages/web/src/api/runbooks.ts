// Runbooks and their runs: read by their pages alone.
import { RunbookService } from "@aether/contract/gen/aether/v2/runbook_pb";
import { createClient } from "@connectrpc/connect";
import { queryOptions } from "@tanstack/react-query";
import { everyPage } from "./lists.ts";
import { transport } from "./transport.ts";

export const runbookApi = createClient(RunbookService, transport);

const most = 500;
const recent = 50;

export const runbookQueries = {
  list: () =>
    queryOptions({
      queryKey: ["runbook", "list"],
      queryFn: ({ signal }) =>
        everyPage(
          (page) => runbookApi.listRunbooks({ page }, { signal }),
          ({ runbooks }) => runbooks,
          most,
        ),
    }),
  runs: () =>
    queryOptions({
      queryKey: ["runbook-run", "list"],
      queryFn: async ({ signal }) => (await runbookApi.listRunbookRuns({ page: { pageSize: recent } }, { signal })).runs,
    }),
  run: (id: string) =>
    queryOptions({
      queryKey: ["runbook-run", id],
      queryFn: async ({ signal }) => (await runbookApi.getRunbookRun({ id }, { signal })).run,
    }),
};
