// Runbooks and their runs: read by their pages alone.
import {
  GetRunbookResponseSchema,
  type Runbook,
  RunbookSchema,
  RunbookService,
  SetRunbookResponseSchema,
} from "@aether/contract/gen/aether/v2/runbook_pb";
import { toJson } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { queryOptions } from "@tanstack/react-query";
import { changeUnlessOvertaken } from "./if-match.ts";
import { everyPage } from "./lists.ts";
import { transport } from "./transport.ts";

export const runbookApi = createClient(RunbookService, transport);

/**
 * Sets it, if it still is the version that the change was made from (0: there was none). Throws Overtaken with the GetRunbookResponse of now, or with
 * undefined where it was deleted.
 */
export const setRunbookFrom = (version: number, runbook: Runbook) =>
  changeUnlessOvertaken({
    path: `/api/v2/runbooks/${encodeURIComponent(runbook.name)}`,
    type: GetRunbookResponseSchema,
    isSame: (now) => (now?.runbook?.version ?? 0) === version,
    method: "PUT",
    body: toJson(RunbookSchema, runbook),
    answer: SetRunbookResponseSchema,
  });

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
  one: (name: string) =>
    queryOptions({
      queryKey: ["runbook", "one", name],
      queryFn: async ({ signal }) => (await runbookApi.getRunbook({ name }, { signal })).runbook,
      retry: false,
    }),
  versions: (name: string) =>
    queryOptions({
      queryKey: ["runbook", "versions", name],
      queryFn: ({ signal }) =>
        everyPage(
          (page) => runbookApi.listRunbookVersions({ name, page }, { signal }),
          ({ runbooks }) => runbooks,
          most,
        ),
      retry: false,
    }),
  /** What steps can be made of: of the release, so it never changes while the page is open. */
  acts: () =>
    queryOptions({
      queryKey: ["runbook-acts"],
      queryFn: async ({ signal }) => (await runbookApi.listRunbookActs({}, { signal })).acts,
      staleTime: Number.POSITIVE_INFINITY,
    }),
  /** @param runbook empty: of all */
  runs: (runbook = "") =>
    queryOptions({
      queryKey: ["runbook-run", "list", runbook],
      queryFn: async ({ signal }) => (await runbookApi.listRunbookRuns({ runbook, page: { pageSize: recent } }, { signal })).runs,
    }),
  run: (id: string) =>
    queryOptions({
      queryKey: ["runbook-run", id],
      queryFn: async ({ signal }) => (await runbookApi.getRunbookRun({ id }, { signal })).run,
    }),
};
