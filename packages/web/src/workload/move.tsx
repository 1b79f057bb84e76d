// Moving one workload by hand: where to, and what it will cost, before one agrees. The preflight asks the node itself and changes nothing.
import { type Workload, WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { queries } from "../api/queries.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { bytes, duration, plural } from "../format/units.ts";
import { MemoryClassesText } from "../migration/memory-classes.tsx";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Facts } from "../ui/facts.tsx";
import { SelectField } from "../ui/fields.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { modeWord } from "../ui/states.tsx";

export function Move({ workload, tone }: { workload: Workload; tone?: "primary" }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <For as="operator">
      <Button
        {...(tone === undefined ? {} : { tone })}
        disabled={workload.state !== WorkloadState.RUNNING}
        title={workload.state === WorkloadState.RUNNING ? undefined : "It must run to be moved"}
        onClick={() => setOpen(true)}
      >
        Move
      </Button>
      {isOpen && <MoveDialog workload={workload} onClose={() => setOpen(false)} />}
    </For>
  );
}

export function MoveDialog({ workload, onClose }: { workload: Workload; onClose: () => void }) {
  const name = workload.spec?.name ?? "";
  const navigate = useNavigate();
  const [target, setTarget] = useState("");
  const { data: nodes = [] } = useQuery(queries.nodes());
  const { data: certificate } = useQuery(queries.certificate(name));
  const preflight = useQuery({
    queryKey: ["preflight", name],
    queryFn: async ({ signal }) => (await api.migrations.preflightWorkload({ workload: name }, { signal })).report,
    staleTime: 0,
    gcTime: 0,
  });
  const { data: moves = [] } = useQuery(queries.migrations(name));
  const last = moves.find(({ receipt }) => receipt !== undefined)?.receipt;
  const start = useAct(() => api.migrations.startMigration({ workload: name, targetNodeId: target }), {
    touches: ["migration", "workload"],
    onDone: ({ migration }) => {
      onClose();
      if (migration !== undefined) void navigate({ to: "/migrations/$id", params: { id: migration.id } });
    },
  });
  const report = preflight.data;
  const others = nodes.filter(({ id, isConnected }) => id !== workload.nodeId && isConnected);
  const isBlocked = report !== undefined && report.blockers.length > 0;
  const predicted = report?.forecast?.freezeMs ?? certificate?.freezeMs?.expected;
  return (
    <Dialog title={`Move ${name} away from ${workload.nodeId}?`} onClose={onClose}>
      <div className="grid gap-4">
        <SelectField
          label="To"
          value={target}
          onChange={(event) => setTarget(event.target.value)}
          note="The control plane picks by room, processor and health."
        >
          <option value="">the best node</option>
          {others.map(({ id }) => (
            <option key={id} value={id}>
              {id}
            </option>
          ))}
        </SelectField>
        <div className="min-h-36">
          {preflight.isPending && <p className="pulse text-soft">Its node is asked what a move would carry…</p>}
          {preflight.error !== null && <ProblemNote error={preflight.error} />}
          {report !== undefined && (
            <Facts
              facts={[
                [
                  "freeze",
                  predicted !== undefined && predicted > 0
                    ? `about ${duration(predicted)} foretold`
                    : last === undefined
                      ? "not known before its first move"
                      : "not foretold",
                ],
                last !== undefined && ["last time", `frozen for ${duration(last.freezeMs)}`],
                ["mode", `${modeWord(report.chosenMode)}${report.modeReason === "" ? "" : `: ${report.modeReason}`}`],
                [
                  "carries",
                  `${bytes(report.memoryBytes)} memory, ${bytes(report.fileBytes)} files, ${plural(report.processCount, "process", "processes")}`,
                ],
                report.forecast?.classes !== undefined && ["its memory", <MemoryClassesText classes={report.forecast.classes} />],
                ["clients", `${plural(report.tcpEstablished, "open connection")}, kept`],
              ]}
            />
          )}
          {report?.blockers.map((each) => (
            <p key={each.code + each.subject} className="mt-2 rounded-md bg-bad-ground px-3 py-2 break-words">
              <span className="font-medium text-bad">{each.message}</span> {each.mend}
            </p>
          ))}
          {report?.warnings.map((each) => (
            <p key={each.code + each.subject} className="mt-2 rounded-md bg-warn-ground px-3 py-2 break-words">
              {each.message} {each.mend}
            </p>
          ))}
        </div>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Not now</Button>
          <Button
            tone="primary"
            disabled={isBlocked || others.length === 0}
            isBusy={start.isPending}
            onClick={() => start.mutate(undefined)}
          >
            {others.length === 0 ? "No other node" : "Move it"}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
