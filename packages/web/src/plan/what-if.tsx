// What would happen if these nodes were given notice now: the plan that a real notice would lead to, made by the same function, carried out by nobody.
import type { PlannedMove, WavePlan } from "@aether/contract/gen/aether/v2/plan_pb";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { plans } from "../api/plan.ts";
import { queries } from "../api/queries.ts";
import { duration, plural } from "../format/units.ts";
import { GuardNotes } from "../guard/notes.tsx";
import { poolOf } from "../node/filter.ts";
import { Badge, type Tone } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { inputLook } from "../ui/fields.tsx";
import { NodeLink, WorkloadLink } from "../ui/links.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";

const mostNodes = 200;

export function WhatIf() {
  const { data: nodes = [] } = useQuery(queries.nodes());
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const plan = useMutation({
    mutationFn: async (nodeIds: readonly string[]) => (await plans.planWave({ nodeIds: [...nodeIds] }, { timeoutMs: 60_000 })).plan,
  });
  const withWorkloads = nodes.filter(({ workloads }) => workloads.length > 0);
  const pools = [...new Set(withWorkloads.map(poolOf).filter((pool) => pool !== ""))].sort();
  if (withWorkloads.length === 0) return null;
  const toggle = (id: string) => setChosen((before) => (before.includes(id) ? before.filter((each) => each !== id) : [...before, id]));
  return (
    <Panel title="What if several went at once?" isFlush>
      <div className="grid gap-3 px-4 py-3">
        <p className="text-soft">Nothing is moved: it is the plan that a notice to all of them would lead to now.</p>
        <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
          {withWorkloads.length <= 16 ? (
            withWorkloads.map(({ id, workloads }) => (
              <label key={id} className="flex min-h-6 items-center gap-2">
                <input type="checkbox" checked={chosen.includes(id)} onChange={() => toggle(id)} />
                {id} <span className="text-soft">{plural(workloads.length, "workload")}</span>
              </label>
            ))
          ) : (
            <select
              aria-label="Pool that goes"
              className={`${inputLook} !w-auto`}
              onChange={(event) =>
                setChosen(
                  withWorkloads
                    .filter((node) => poolOf(node) === event.target.value)
                    .slice(0, mostNodes)
                    .map(({ id }) => id),
                )
              }
            >
              <option value="">a pool…</option>
              {pools.map((pool) => (
                <option key={pool}>{pool}</option>
              ))}
            </select>
          )}
          <Button disabled={chosen.length === 0} isBusy={plan.isPending} onClick={() => plan.mutate(chosen)}>
            Plan it
          </Button>
        </div>
        {plan.error !== null && <ProblemNote error={plan.error} />}
      </div>
      {plan.data !== undefined && <Planned plan={plan.data} />}
    </Panel>
  );
}

const tones: Readonly<Record<string, Tone>> = { move: "good", snapshot: "warn", stay: "bad" };

function Planned({ plan: { summary, moves, windowMs } }: { plan: WavePlan }) {
  return (
    <div className="border-t border-line">
      <p className="px-4 py-3 text-base">{summary}</p>
      <Table label="Planned moves" head={["workload", "", "to", "begins after", "safe after", "frozen", "because"]}>
        {moves.map((move) => (
          <Row key={move.workload}>
            <Cell>
              <WorkloadLink name={move.workload} />
            </Cell>
            <Cell>
              <Badge tone={tones[move.action] ?? "plain"}>{move.action}</Badge>
            </Cell>
            <Cell className="whitespace-nowrap">
              <NodeLink id={move.sourceNodeId} /> →{" "}
              {move.targetNodeId === "" ? <span className="text-soft">nowhere</span> : <NodeLink id={move.targetNodeId} />}
            </Cell>
            <Cell className="nums whitespace-nowrap">{duration(move.startsAfterMs)}</Cell>
            <Cell className="nums w-1/5 min-w-32">
              {duration(move.safeAfterMs)}
              <Window fromMs={move.startsAfterMs} toMs={move.safeAfterMs} windowMs={windowMs} />
            </Cell>
            <Cell className="nums whitespace-nowrap">{move.freezeMs > 0 ? duration(move.freezeMs) : "—"}</Cell>
            <Cell className="wrap-anywhere text-soft">
              {move.reason}
              <GuardNotes notes={move.guards} />
              <Others move={move} />
            </Cell>
          </Row>
        ))}
      </Table>
    </div>
  );
}

const mostOthers = 20;

/** What spoke against the targets that were not taken. */
function Others({ move: { candidates, targetNodeId } }: { move: PlannedMove }) {
  const others = candidates
    .filter(({ nodeId }) => nodeId !== targetNodeId)
    .sort((a, b) => Number(b.isEligible) - Number(a.isEligible) || b.score - a.score);
  if (others.length === 0) return null;
  return (
    <details className="mt-1 text-xs">
      <summary className="min-h-6">{plural(others.length, "other target")}</summary>
      <ul className="grid gap-1">
        {others.slice(0, mostOthers).map(({ nodeId, isEligible, score, reasons }) => (
          <li key={nodeId}>
            <NodeLink id={nodeId} /> {isEligible ? `score ${Number(score.toFixed(2))}` : "not possible"}
            {reasons.length > 0 && `: ${reasons.join(" · ")}`}
          </li>
        ))}
        {others.length > mostOthers && <li>and {others.length - mostOthers} more</li>}
      </ul>
    </details>
  );
}

/** When in the window of the notice it happens. */
function Window({ fromMs, toMs, windowMs }: { fromMs: number; toMs: number; windowMs: number }) {
  if (windowMs <= 0) return null;
  const part = (ms: number) => Math.min(100, (100 * ms) / windowMs);
  return (
    <div className="relative mt-1 h-1.5 rounded bg-raised" aria-hidden="true">
      <div
        className={`absolute inset-y-0 rounded ${toMs > windowMs ? "bg-bad" : "bg-accent"}`}
        style={{ left: `${part(fromMs)}%`, width: `max(3px, ${part(toMs) - part(fromMs)}%)` }}
      />
    </div>
  );
}
