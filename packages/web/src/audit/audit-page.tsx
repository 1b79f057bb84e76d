// Who did what, newest first; each entry unfolds to what it has changed.
import type { AuditEntry } from "@aether/contract/gen/aether/v2/signal_pb";
import { useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useId } from "react";
import { api } from "../api/clients.ts";
import { msOf, utcTime } from "../format/time.ts";
import { plural } from "../format/units.ts";
import { Badge, type Tone } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Facts } from "../ui/facts.tsx";
import { inputLook } from "../ui/fields.tsx";
import { SubjectLink } from "../ui/links.tsx";
import { Older } from "../ui/older.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table, wideOnly } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { TraceLink } from "../ui/trace.tsx";
import { UnfoldRow, useUnfolded } from "../ui/unfold.tsx";
import { detailsOf } from "./details.ts";

const tones: Readonly<Record<string, Tone>> = { ok: "good", denied: "bad", failed: "warn" };

const head = ["", "#", "at", "who", "did", "to", "outcome", "from"];

export function AuditPage() {
  const [open, toggle] = useUnfolded();
  const { actor = "", action = "", subject = "", outcome = "" } = useSearch({ from: "/audit" });
  const only = { actor, action, subject, outcome };
  const log = useInfiniteQuery({
    queryKey: ["audit", only],
    queryFn: ({ pageParam, signal }) => api.audit.listAudit({ ...only, page: { pageSize: 100, pageToken: pageParam } }, { signal }),
    initialPageParam: "",
    getNextPageParam: ({ nextPageToken }) => nextPageToken || undefined,
  });
  const verify = useMutation({ mutationFn: () => api.audit.verifyAudit({}, { timeoutMs: 120_000 }) });
  const listed = log.data?.pages.flatMap(({ entries: own }) => own) ?? [];
  // One that a link asks for is shown, also where it is older than what was read, or not among what is looked for.
  const isElsewhere =
    open !== undefined && /^\d{1,15}$/.test(open) && log.data !== undefined && !listed.some(({ sequence }) => String(sequence) === open);
  const asked = useQuery({
    queryKey: ["audit-entry", open],
    queryFn: async ({ signal }) => (await api.audit.getAuditEntry({ sequence: BigInt(open ?? 0) }, { signal })).entry ?? null,
    enabled: isElsewhere,
    retry: false,
  });
  const entries = isElsewhere && asked.data ? [asked.data, ...listed] : listed;
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
      <Looking only={only} known={listed} />
      <div className="grid gap-4">
        {(log.error ?? verify.error) !== null && <ProblemNote error={log.error ?? verify.error} onRetry={() => void log.refetch()} />}
        {log.data !== undefined && (
          <Panel title="Newest first" isFlush>
            <Table label="Audit log" head={head} wide={[1]}>
              {entries.map((entry) => {
                const id = String(entry.sequence);
                return (
                  <UnfoldRow
                    key={id}
                    label={`More of entry ${id}`}
                    isOpen={open === id}
                    onToggle={() => toggle(id)}
                    columns={head.length}
                    more={<More entry={entry} />}
                  >
                    <Cell className={`nums text-soft ${wideOnly}`}>{id}</Cell>
                    <Cell>
                      <Time at={entry.at} />
                    </Cell>
                    <Cell className="min-w-28 wrap-anywhere">{entry.actor}</Cell>
                    <Cell className="whitespace-nowrap">{entry.action}</Cell>
                    <Cell>
                      <SubjectLink subject={entry.subject} />
                    </Cell>
                    <Cell>
                      <Badge tone={tones[entry.outcome] ?? "plain"}>{entry.outcome}</Badge>
                    </Cell>
                    <Cell className="font-mono text-xs text-soft">{entry.sourceAddress || "—"}</Cell>
                  </UnfoldRow>
                );
              })}
            </Table>
            {entries.length === 0 && <p className="px-4 py-6 text-soft">No entry fits.</p>}
            <Older list={log} text="Older entries" />
          </Panel>
        )}
      </div>
    </Page>
  );
}

interface Only {
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly outcome: string;
}

/** What is looked for: whole names, as the log has them, offered from what was read. */
function Looking({ only, known }: { only: Only; known: readonly AuditEntry[] }) {
  const id = useId();
  const navigate = useNavigate({ from: "/audit" });
  const set = (change: Partial<Only>) =>
    void navigate({
      search: Object.fromEntries(Object.entries({ ...only, ...change }).filter(([, value]) => value !== "")),
      replace: true,
    });
  return (
    <search className="mb-3 flex flex-wrap items-center gap-2">
      {(
        [
          ["actor", "Who", "account/ada"],
          ["action", "Did", "policy.set"],
          ["subject", "To", "workload/db"],
        ] as const
      ).map(([name, label, example]) => (
        <form
          key={name}
          className="w-[calc(50%-0.25rem)] sm:w-48"
          onSubmit={(event) => {
            event.preventDefault();
            set({ [name]: String(new FormData(event.currentTarget).get(name) ?? "").trim() });
          }}
        >
          <input
            // What the address says is what is shown, also after going back.
            key={only[name]}
            type="search"
            name={name}
            aria-label={label}
            placeholder={`${label}: ${example}`}
            list={`${id}-${name}`}
            autoComplete="off"
            className={inputLook}
            defaultValue={only[name]}
            onBlur={(event) => event.target.value.trim() !== only[name] && set({ [name]: event.target.value.trim() })}
          />
          <datalist id={`${id}-${name}`}>
            {[...new Set(known.map((entry) => entry[name]))].sort().map((value) => (
              <option key={value} value={value} />
            ))}
          </datalist>
        </form>
      ))}
      <select
        aria-label="Outcome"
        className={`${inputLook} !w-[calc(50%-0.25rem)] sm:!w-36`}
        value={only.outcome}
        onChange={(event) => set({ outcome: event.target.value })}
      >
        <option value="">Any outcome</option>
        {Object.keys(tones).map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    </search>
  );
}

function More({ entry: { dataJson, hash, traceId, at } }: { entry: AuditEntry }) {
  const { changes, said } = detailsOf(dataJson);
  const none = <span className="text-soft">not set</span>;
  return (
    <div className="grid max-w-4xl gap-3">
      {changes.length > 0 && (
        <div className="rounded-md border border-line bg-surface">
          <Table label="What it has changed" head={["what it has changed", "before", "after"]}>
            {changes.map(({ path, before, after }) => (
              <Row key={path}>
                <Cell className="font-mono text-xs wrap-anywhere">{path}</Cell>
                <Cell className="min-w-24 wrap-anywhere text-soft">{before ?? none}</Cell>
                <Cell className="min-w-24 font-medium wrap-anywhere">{after ?? none}</Cell>
              </Row>
            ))}
          </Table>
        </div>
      )}
      <Facts
        facts={[
          ...said.map(([name, value]) => [name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`), value] as const),
          at !== undefined && ["in UTC", utcTime(msOf(at) ?? 0)],
          ["hash", <code className="font-mono text-xs break-all">{hash}</code>],
          traceId !== "" && ["trace", <TraceLink id={traceId} />],
        ]}
      />
    </div>
  );
}
