import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { api } from "../api/clients.ts";
import { plural } from "../format/units.ts";
import { Badge, type Tone } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { SubjectLink } from "../ui/links.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

const tones: Readonly<Record<string, Tone>> = { ok: "good", denied: "bad", failed: "warn" };

export function AuditPage() {
  const log = useInfiniteQuery({
    queryKey: ["audit"],
    queryFn: ({ pageParam, signal }) => api.audit.listAudit({ page: { pageSize: 100, pageToken: pageParam } }, { signal }),
    initialPageParam: "",
    getNextPageParam: ({ nextPageToken }) => nextPageToken || undefined,
  });
  const verify = useMutation({ mutationFn: () => api.audit.verifyAudit({}, { timeoutMs: 120_000 }) });
  const entries = log.data?.pages.flatMap(({ entries: own }) => own) ?? [];
  return (
    <Page
      title="Audit"
      about="Who did what, and who was refused. Each entry's hash covers the entry before it: a change in the middle breaks the chain."
      aside={
        <>
          {verify.data !== undefined &&
            (verify.data.isIntact ? (
              <Badge tone="good">{plural(Number(verify.data.entryCount), "entry", "entries")}, chain whole</Badge>
            ) : (
              <Badge tone="bad">broken at {String(verify.data.brokenAtSequence)}</Badge>
            ))}
          <Button onClick={() => verify.mutate()} isBusy={verify.isPending}>
            Verify the chain
          </Button>
        </>
      }
    >
      <div className="grid gap-4">
        {(log.error ?? verify.error) !== null && <ProblemNote error={log.error ?? verify.error} onRetry={() => void log.refetch()} />}
        {log.data !== undefined && (
          <Panel title="Newest first" isFlush>
            <Table label="Audit log" head={["#", "at", "who", "did", "to", "outcome", "from", "hash"]}>
              {entries.map((entry) => (
                <Row key={String(entry.sequence)}>
                  <Cell className="nums text-soft">{String(entry.sequence)}</Cell>
                  <Cell>
                    <Time at={entry.at} />
                  </Cell>
                  <Cell className="break-all">{entry.actor}</Cell>
                  <Cell className="whitespace-nowrap" title={entry.dataJson}>
                    {entry.action}
                  </Cell>
                  <Cell>
                    <SubjectLink subject={entry.subject} />
                  </Cell>
                  <Cell>
                    <Badge tone={tones[entry.outcome] ?? "plain"}>{entry.outcome}</Badge>
                  </Cell>
                  <Cell className="font-mono text-xs text-soft">{entry.sourceAddress}</Cell>
                  <Cell className="font-mono text-xs text-soft" title={entry.hash}>
                    {entry.hash.slice(0, 10)}
                  </Cell>
                </Row>
              ))}
            </Table>
            {log.hasNextPage && (
              <div className="border-t border-line p-3 text-center">
                <Button onClick={() => void log.fetchNextPage()} isBusy={log.isFetchingNextPage}>
                  Older entries
                </Button>
              </div>
            )}
          </Panel>
        )}
      </div>
    </Page>
  );
}
