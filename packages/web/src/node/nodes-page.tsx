import type { Verdict } from "@aether/contract/gen/aether/v2/certificate_pb";
import type { Node } from "@aether/contract/gen/aether/v2/node_pb";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import {
  lazy,
  type MouseEvent,
  memo,
  type ReactNode,
  Suspense,
  useDeferredValue,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { mostNodes, queries } from "../api/queries.ts";
import { For, useMay } from "../app/caller.tsx";
import { VerdictBadge } from "../certificate/verdict.tsx";
import { dollars, dollarsAnHour } from "../format/money.ts";
import { bytes, count, percent, plural } from "../format/units.ts";
import { useFleetLive } from "../live/live.tsx";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { inputLook } from "../ui/fields.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { NodeBadge } from "../ui/states.tsx";
import { Time } from "../ui/time.tsx";
import { filterNodes, poolOf, stateKey } from "./filter.ts";
import { type NodeMarket, useNodeMarket } from "./market.ts";

export function NodesPage() {
  useFleetLive();
  const search = useSearch({ from: "/nodes" });
  const navigate = useNavigate({ from: "/nodes" });
  const { data: nodes, error, refetch, isFetching } = useQuery(queries.nodes());
  const [isWhole, setWhole] = useState(false);
  const [isJoining, setJoining] = useState(false);
  useEffect(() => {
    if (!isFetching) setWhole(true);
  }, [isFetching]);
  const deferred = useDeferredValue(search);
  const market = useNodeMarket();
  const shown = useMemo(() => filterNodes(nodes ?? [], deferred, market), [nodes, deferred, market]);
  const states = useMemo(() => countBy(nodes ?? [], stateKey), [nodes]);
  const pools = useMemo(() => countBy(nodes ?? [], poolOf), [nodes]);
  const set = (change: { [Key in keyof typeof search]?: string | undefined }) =>
    void navigate({
      search: (before) =>
        Object.fromEntries(Object.entries({ ...before, ...change }).filter(([, value]) => value !== undefined && value !== "")),
      replace: true,
    });
  return (
    <Page
      title="Nodes"
      about="Machines with an agent. Each is told of its own end by its cloud, and moves what runs on it."
      aside={
        <For as="admin">
          <Button onClick={() => setJoining(true)}>Add a node</Button>
        </For>
      }
    >
      {isJoining && (
        <Suspense>
          <Join onClose={() => setJoining(false)} />
        </Suspense>
      )}
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      <search className="mb-3 flex flex-wrap items-center gap-2">
        <input
          type="search"
          aria-label="Search nodes by name, pool, instance or workload"
          placeholder="Name, pool, instance or workload"
          className={`${inputLook} sm:max-w-72`}
          value={search.q ?? ""}
          onChange={(event) => set({ q: event.target.value })}
        />
        <Choice label="State" value={search.state} options={states} onChange={(state) => set({ state })} />
        <Choice label="Pool" value={search.pool} options={pools} onChange={(pool) => set({ pool })} />
        <output className="nums ml-auto text-soft">
          {nodes === undefined
            ? ""
            : shown.length === nodes.length
              ? plural(nodes.length, "node")
              : `${count(shown.length)} of ${plural(nodes.length, "node")}`}
          {nodes?.length === mostNodes && " (no more are read)"}
          {nodes !== undefined && !isWhole && " so far"}
        </output>
      </search>
      <Money market={market} />
      {nodes?.length === 0 ? (
        <div className="rounded-lg border border-line bg-surface">
          <Empty command="aether token create --role agent">
            No node has joined yet. The token works once; put it on the instance, and the node is here within seconds.
          </Empty>
        </div>
      ) : (
        <NodeTable
          nodes={shown}
          market={market}
          sort={search.sort ?? "name"}
          onSort={(sort) => set({ sort: sort === "name" ? undefined : sort })}
        />
      )}
    </Page>
  );
}

function countBy(nodes: readonly Node[], keyOf: (node: Node) => string): [string, number][] {
  const counts = new Map<string, number>();
  for (const node of nodes) counts.set(keyOf(node), (counts.get(keyOf(node)) ?? 0) + 1);
  return [...counts].filter(([key]) => key !== "").sort(([a], [b]) => a.localeCompare(b));
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string | undefined;
  readonly options: readonly (readonly [string, number])[];
  readonly onChange: (value: string | undefined) => void;
}

function Choice({ label, value, options, onChange }: ChoiceProps) {
  return (
    <select
      aria-label={label}
      // As wide before its choices are known as after.
      className={`${inputLook} !w-[calc(50%-0.25rem)] sm:!w-44`}
      value={value ?? ""}
      onChange={(event) => onChange(event.target.value || undefined)}
    >
      <option value="">{label}: all</option>
      {options.map(([key, own]) => (
        <option key={key} value={key}>
          {key} ({count(own)})
        </option>
      ))}
    </select>
  );
}

const grid =
  "grid grid-cols-[minmax(3.75rem,1fr)_minmax(5.25rem,1fr)_minmax(6.25rem,1.6fr)_1.75rem] lg:grid-cols-[minmax(6rem,1.4fr)_minmax(6rem,1fr)_minmax(6rem,1.3fr)_minmax(8rem,1.6fr)_4rem_5rem_1.75rem] xl:grid-cols-[minmax(5rem,1.2fr)_minmax(6rem,0.9fr)_minmax(9.25rem,1.2fr)_minmax(8rem,1.5fr)_3.25rem_4.75rem_4rem_4.5rem_4rem_4.25rem_1.75rem] items-center gap-x-2 px-3 sm:px-4";
/** From which width of the window on a column is there. */
const from = { always: "", wide: "hidden lg:block", widest: "hidden xl:block" } as const;
const rowHeight = 40;

const Join = lazy(async () => ({ default: (await import("./join.tsx")).JoinDialog }));
const ActsDialog = lazy(() => import("./acts-dialog.tsx"));

const columns: readonly { key: string; title: string; at: keyof typeof from }[] = [
  { key: "name", title: "Node", at: "always" },
  { key: "state", title: "State", at: "always" },
  { key: "pool", title: "Pool", at: "wide" },
  { key: "workloads", title: "Workloads", at: "always" },
  { key: "cpu", title: "CPU", at: "widest" },
  { key: "free", title: "Free", at: "widest" },
  { key: "risk", title: "Risk, 1 h", at: "wide" },
  { key: "price", title: "Price", at: "wide" },
  { key: "saved", title: "Saved", at: "widest" },
  { key: "seen", title: "Seen", at: "widest" },
];

/** Only the rows in view exist: ten thousand nodes scroll as ten do. */
function NodeTable({
  nodes,
  market,
  sort,
  onSort,
}: {
  nodes: readonly Node[];
  market: NodeMarket;
  sort: string;
  onSort: (sort: string) => void;
}) {
  const place = useRef<HTMLDivElement>(null);
  const may = useMay("operator");
  const [acting, setActing] = useState<string>();
  const actingOn = acting === undefined ? undefined : nodes.find(({ id }) => id === acting);
  const [offset, setOffset] = useState(0);
  useLayoutEffect(() => setOffset(place.current?.offsetTop ?? 0), []);
  const virtual = useWindowVirtualizer({ count: nodes.length, estimateSize: () => rowHeight, overscan: 12, scrollMargin: offset });
  const rows = virtual.getVirtualItems();
  const slots = 2 ** Math.ceil(Math.log2(rows.length + 1));
  const navigate = useNavigate();
  const follow = (event: MouseEvent<HTMLElement>) => {
    const link = event.target instanceof Element ? event.target.closest<HTMLAnchorElement>("a[data-id]") : null;
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    const { id, noun } = link?.dataset ?? {};
    if (id === undefined || !isPlain) return;
    event.preventDefault();
    void navigate(noun === "node" ? { to: "/nodes/$id", params: { id } } : { to: "/workloads/$name", params: { name: id } });
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a table element cannot have rows that are not there
    <div role="table" aria-label="Nodes" aria-rowcount={nodes.length + 1} className="rounded-lg border border-line bg-surface">
      {/* biome-ignore lint/a11y/useSemanticElements: see above */}
      <div
        role="row"
        tabIndex={-1}
        className={`${grid} sticky top-0 z-10 h-9 rounded-t-lg border-b border-line bg-surface text-xs text-soft`}
      >
        {columns.map(({ key, title, at }) => (
          // biome-ignore lint/a11y/useSemanticElements: see above
          <div
            key={key}
            role="columnheader"
            tabIndex={-1}
            aria-sort={sort === key ? "ascending" : sort === `-${key}` ? "descending" : "none"}
            className={from[at]}
          >
            <button
              type="button"
              className="-ml-1 h-6 rounded px-1 font-medium hover:text-text"
              onClick={() => onSort(sort === key ? `-${key}` : key)}
            >
              {title} <span aria-hidden="true">{sort === key ? "↑" : sort === `-${key}` ? "↓" : ""}</span>
            </button>
          </div>
        ))}
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: see above */}
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the links inside have the keys */}
      <div ref={place} role="rowgroup" tabIndex={-1} className="relative" style={{ height: virtual.getTotalSize() }} onClick={follow}>
        {rows.map(({ index, start }) => {
          const node = nodes[index];
          return node === undefined ? null : (
            // A row that leaves the view becomes the one that enters it: making elements is most of what a frame costs.
            <NodeRow
              key={index % slots}
              node={node}
              market={market}
              index={index}
              top={start - offset}
              onActs={may ? setActing : undefined}
            />
          );
        })}
      </div>
      {nodes.length === 0 && <p className="px-4 py-6 text-soft">No node fits.</p>}
      {actingOn !== undefined && (
        <Suspense>
          <ActsDialog node={actingOn} onClose={() => setActing(undefined)} />
        </Suspense>
      )}
    </div>
  );
}

interface NodeRowProps {
  readonly node: Node;
  readonly market: NodeMarket;
  readonly index: number;
  readonly top: number;
  readonly onActs: ((id: string) => void) | undefined;
}

/** A row is drawn again only when it differs: scrolling moves rows, it does not change them. */
const NodeRow = memo(function NodeRow({ node, market, index, top, onActs }: NodeRowProps) {
  const { usage } = node;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a table element cannot have rows that are not there
    <div
      role="row"
      tabIndex={-1}
      aria-rowindex={index + 2}
      className={`${grid} absolute inset-x-0 ${index === 0 ? "" : "border-t border-line"} contain-strict hover:bg-raised/50`}
      style={{ height: rowHeight, transform: `translateY(${top}px)` }}
    >
      <Part>
        <RowLink noun="node" id={node.id} />
      </Part>
      <Part>
        <NodeBadge node={node} />
      </Part>
      <Part at="wide" title={poolOf(node)}>
        <span className="text-soft">{poolOf(node) || "—"}</span>
      </Part>
      <Part>
        {node.workloads.length === 0 ? (
          <span className="text-soft">none</span>
        ) : (
          <>
            <RowLink noun="workload" id={node.workloads[0] ?? ""} />
            {node.workloads.length > 1 && <span className="text-soft"> +{node.workloads.length - 1}</span>}{" "}
            <Worst verdict={market.worstVerdictOf(node)} />
          </>
        )}
      </Part>
      <Part at="widest">{usage === undefined ? "—" : percent(usage.cpuFraction)}</Part>
      <Part at="widest">{usage === undefined ? "—" : bytes(usage.memoryAvailableBytes)}</Part>
      <Part at="wide">{known(market.riskOf(node.id), percent)}</Part>
      <Part at="wide">{known(market.priceOf(node.id), dollarsAnHour)}</Part>
      <Part at="widest">{known(market.savedOf(node.id), dollars)}</Part>
      <Part at="widest">
        <span className="text-soft">
          <Time at={node.seenAt} isAgo />
        </span>
      </Part>
      <Part>
        {onActs !== undefined && (
          <button
            type="button"
            aria-label={`What can be done with ${node.id}`}
            className="size-6 rounded text-soft hover:bg-raised hover:text-text"
            onClick={() => onActs(node.id)}
          >
            ⋯
          </button>
        )}
      </Part>
    </div>
  );
});

/** A link that the table follows for it: a router's own link in each row would be a third of a frame. */
const RowLink = ({ noun, id }: { noun: "node" | "workload"; id: string }) => (
  <a href={`/${noun}s/${encodeURIComponent(id)}`} data-noun={noun} data-id={id} className="font-medium underline-offset-2 hover:underline">
    {id}
  </a>
);

/** The worst certificate of what runs there: whether the node can be lost. */
const Worst = ({ verdict }: { verdict: Verdict | undefined }) =>
  verdict === undefined ? null : <VerdictBadge verdict={verdict} isShort />;

/** What the fleet costs now and what spot has saved. The line is there from the start, so that nothing moves when it is known. */
function Money({ market: { usdPerHour, savedUsd, isKnown } }: { market: NodeMarket }) {
  const isPriced = usdPerHour !== undefined || savedUsd !== undefined;
  return (
    <p className="nums mb-3 min-h-5 text-soft">
      {isKnown && !isPriced && <>What the fleet costs is not known: no price is. </>}
      {usdPerHour !== undefined && (
        <>
          The fleet costs <strong className="font-medium text-text">{dollarsAnHour(usdPerHour)}</strong> now
        </>
      )}
      {savedUsd !== undefined && (
        <>
          {usdPerHour !== undefined && ", and "}spot has saved <strong className="font-medium text-text">{dollars(savedUsd)}</strong> in 30
          days
        </>
      )}
      {isPriced && ". "}
      {isKnown && (
        <Link to="/savings" className="underline hover:text-text">
          {isPriced ? "Where that comes from" : "Where prices come from"}
        </Link>
      )}
    </p>
  );
}

const known = (value: number | undefined, format: (value: number) => string) =>
  value === undefined ? <span className="text-soft">—</span> : format(value);

const Part = ({ at = "always", title, children }: { at?: keyof typeof from; title?: string; children: ReactNode }) => (
  // biome-ignore lint/a11y/useSemanticElements: see above
  <div role="cell" tabIndex={-1} title={title} className={`nums truncate ${from[at]}`}>
    {children}
  </div>
);
