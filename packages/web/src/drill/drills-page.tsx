import { DrillKind } from "@aether/contract/gen/aether/v2/drill_pb";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { queries } from "../api/queries.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { duration, plural, words } from "../format/units.ts";
import { ClientGraph } from "../oracle/client-graph.tsx";
import { WhatIf } from "../plan/what-if.tsx";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { SelectField, TextField } from "../ui/fields.tsx";
import { NodeLink } from "../ui/links.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { DrillBadge } from "../ui/states.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

export function DrillsPage() {
  const { data: drills, error, refetch } = useQuery(queries.drills());
  const { data: oracles = [] } = useQuery(queries.oracles());
  const { data: migrations = [] } = useQuery(queries.migrations());
  return (
    <Page
      title="Drills"
      about="Interruptions that are rehearsed: announced where a real one would be, watched by clients that check every answer, and judged by what was measured."
    >
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      <div className="grid items-start gap-4 lg:grid-cols-[20rem_minmax(0,1fr)]">
        <For as="operator">
          <Start />
        </For>
        <div className="grid min-w-0 gap-4">
          {oracles.length > 0 && (
            <Panel title="What clients see" isFlush>
              {oracles.map((report) => (
                <ClientGraph key={report.name} report={report} migrations={migrations} />
              ))}
            </Panel>
          )}
          <WhatIf />
          {drills !== undefined && (
            <Panel title="Past and present" isFlush>
              {drills.length === 0 ? (
                <Empty command="aether drill start --kind notice --node NODE --wait">No drill was run yet.</Empty>
              ) : (
                <Table label="Drills" head={["started", "kind", "node", "result", "decided in", "safe after", "moves", "checks"]}>
                  {drills.map((drill) => (
                    <Row key={drill.id}>
                      <Cell>
                        <Link to="/drills/$id" params={{ id: drill.id }} className="font-medium hover:underline">
                          <Time at={drill.startedAt} />
                        </Link>
                      </Cell>
                      <Cell>{words(DrillKind[drill.kind])}</Cell>
                      <Cell>
                        <NodeLink id={drill.nodeId} />
                      </Cell>
                      <Cell>
                        <DrillBadge drill={drill} />
                      </Cell>
                      <Cell className="nums whitespace-nowrap">
                        {drill.noticeToDecisionMs > 0 ? duration(drill.noticeToDecisionMs) : "—"}
                      </Cell>
                      <Cell className="nums whitespace-nowrap">{drill.noticeToSafeMs > 0 ? duration(drill.noticeToSafeMs) : "—"}</Cell>
                      <Cell className="nums">{drill.migrationIds.length}</Cell>
                      <Cell className="nums whitespace-nowrap">
                        {drill.checks.length === 0
                          ? "—"
                          : `${drill.checks.filter(({ isPassed }) => isPassed).length} of ${plural(drill.checks.length, "passed", "passed")}`}
                      </Cell>
                    </Row>
                  ))}
                </Table>
              )}
            </Panel>
          )}
        </div>
      </div>
    </Page>
  );
}

function Start() {
  const navigate = useNavigate();
  const { data: nodes = [] } = useQuery(queries.nodes());
  const [kind, setKind] = useState<DrillKind>(DrillKind.NOTICE);
  const [chosen, setNode] = useState("");
  const [seconds, setSeconds] = useState("120");
  const connected = nodes.filter(({ isConnected }) => isConnected);
  const nodeId = chosen || (connected.find(({ workloads }) => workloads.length > 0) ?? connected[0])?.id || "";
  const node = nodes.find(({ id }) => id === nodeId);
  const start = useAct(() => api.drills.startDrill({ kind, nodeId, windowSeconds: Number(seconds) }), {
    touches: ["drill", "node"],
    onDone: ({ drill }) => drill !== undefined && void navigate({ to: "/drills/$id", params: { id: drill.id } }),
  });
  return (
    <Panel title="Start a drill">
      <form
        className="grid gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          start.mutate(undefined);
        }}
      >
        <SelectField label="What is announced" value={kind} onChange={(event) => setKind(Number(event.target.value))}>
          <option value={DrillKind.NOTICE}>interruption notice</option>
          <option value={DrillKind.REBALANCE}>rebalance recommendation</option>
        </SelectField>
        <SelectField
          label="To which node"
          value={nodeId}
          onChange={(event) => setNode(event.target.value)}
          note={node === undefined ? "No node is connected." : `${plural(node.workloads.length, "workload")} on it`}
        >
          {connected.map(({ id }) => (
            <option key={id}>{id}</option>
          ))}
        </SelectField>
        <TextField
          label="Window, seconds"
          type="number"
          min={5}
          max={3600}
          value={seconds}
          onChange={(event) => setSeconds(event.target.value)}
          note="EC2 gives 120."
          required
        />
        <Button tone="danger" type="submit" isBusy={start.isPending} disabled={nodeId === ""}>
          Interrupt {nodeId}
        </Button>
      </form>
    </Panel>
  );
}
