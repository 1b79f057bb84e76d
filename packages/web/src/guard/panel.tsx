// The guard rails as they stand, and the switch that stops everything that moves by itself.
import type { Guards } from "@aether/contract/gen/aether/v2/guard_pb";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { queries } from "../api/queries.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { duration, plural } from "../format/units.ts";
import { Ask } from "../ui/ask.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Facts } from "../ui/facts.tsx";
import { TextField } from "../ui/fields.tsx";
import { NodeLink, WorkloadLink } from "../ui/links.tsx";
import { Panel } from "../ui/panel.tsx";
import { Time } from "../ui/time.tsx";
import { Resume } from "./paused.tsx";

export function GuardPanel() {
  const { data: guards } = useQuery(queries.guards());
  if (guards === undefined) return null;
  return (
    <Panel
      title="Guard rails"
      aside={guards.isPaused ? <Badge tone="bad">moves are paused</Badge> : <Badge tone="good">moves happen by themselves</Badge>}
    >
      <div className="grid gap-4">
        <Facts
          facts={[
            ["at once", `${guards.movesUnderWay} of at most ${guards.movesAtOnce}; at most ${guards.movesAtOnceEachNode} each node`],
            ["rest after a move", duration(guards.restSeconds * 1000)],
            ["windows", windowsText(guards)],
            [
              "resting",
              guards.resting.length === 0
                ? "none"
                : guards.resting.map((each) => (
                    <div key={each.workload}>
                      <WorkloadLink name={each.workload} /> until <Time at={each.until} />: {each.reason}
                    </div>
                  )),
            ],
            [
              "pairs that fail",
              guards.openCircuits.length === 0
                ? "none"
                : guards.openCircuits.map((each) => (
                    <div key={each.sourceNodeId + each.targetNodeId}>
                      <NodeLink id={each.sourceNodeId} /> → <NodeLink id={each.targetNodeId} /> after {plural(each.failures, "failure")}{" "}
                      until <Time at={each.until} />: {each.lastError}
                    </div>
                  )),
            ],
          ]}
        />
        <For as="operator">
          <div>{guards.isPaused ? <Resume /> : <Pause />}</div>
        </For>
      </div>
    </Panel>
  );
}

function windowsText({ windows, isInWindow }: Guards): string {
  if (windows.length === 0) return "none: moves that nothing forces may happen always";
  const texts = windows.map(({ days, from, to }) => `${days.length === 0 ? "every day" : days.join(", ")} ${from} to ${to} UTC`);
  return `${texts.join("; ")} (${isInWindow ? "now" : "not now"})`;
}

function Pause() {
  const [isAsking, setAsking] = useState(false);
  const [reason, setReason] = useState("");
  const pause = useAct(() => api.guards.pauseMoves({ reason }), { touches: ["guard"], onDone: () => setAsking(false) });
  return (
    <>
      <Button tone="danger" onClick={() => setAsking(true)}>
        Pause all moves
      </Button>
      {isAsking && (
        <Ask
          title="Pause all moves?"
          act="Pause them"
          isBusy={pause.isPending}
          onAct={() => pause.mutate(undefined)}
          onClose={() => setAsking(false)}
        >
          <p className="mb-3">
            Nothing will move by itself until somebody lets it, <strong>not even when a node is about to be interrupted</strong>: what runs
            there is lost with it. Moves under way go on, and those that a person starts.
          </p>
          <TextField
            label="Why"
            value={reason}
            onChange={(event) => setReason(event.target.value)}
            note="Everybody sees it, and it is on the audit log."
            maxLength={200}
          />
        </Ask>
      )}
    </>
  );
}
