// What every drill is made of: its kind, its node, its window. Used to begin one now and to put one on a schedule.
import { DrillKind } from "@aether/contract/gen/aether/v2/drill_pb";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { api } from "../api/clients.ts";
import { queries } from "../api/queries.ts";
import { useAct } from "../app/act.ts";
import { plural } from "../format/units.ts";
import { Button } from "../ui/button.tsx";
import { SelectField, TextField } from "../ui/fields.tsx";
import { Form } from "../ui/form.tsx";
import { Panel } from "../ui/panel.tsx";
import { drillKinds } from "./kinds.ts";

export interface Wanted {
  readonly kind: DrillKind;
  /** Empty: the ready node with the most workloads at that time; only of a schedule. */
  readonly nodeId: string;
  readonly windowSeconds: number;
  readonly priceFactor: number;
}

/** The fields, and what they say. `isLater`: the node may be left open. */
export function useWanted(isLater: boolean): { readonly wanted: Wanted; readonly fields: ReactNode } {
  const { data: nodes = [] } = useQuery(queries.nodes());
  const [kind, setKind] = useState<DrillKind>(DrillKind.NOTICE);
  const [chosen, setNode] = useState("");
  const [seconds, setSeconds] = useState("120");
  const [factor, setFactor] = useState("3");
  const connected = nodes.filter(({ isConnected }) => isConnected);
  const first = isLater ? undefined : (connected.find(({ workloads }) => workloads.length > 0) ?? connected[0]);
  const nodeId = chosen || first?.id || "";
  const node = nodes.find(({ id }) => id === nodeId);
  const nodeNote =
    node === undefined
      ? isLater
        ? "Chosen when it begins."
        : "No node is connected."
      : `${plural(node.workloads.length, "workload")} on it`;
  return {
    wanted: { kind, nodeId, windowSeconds: Number(seconds), priceFactor: kind === DrillKind.PRICE ? Number(factor) : 0 },
    fields: (
      <>
        <SelectField
          label="What happens"
          value={kind}
          onChange={(event) => setKind(Number(event.target.value))}
          note={drillKinds.find((each) => each.kind === kind)?.about}
        >
          {drillKinds.map((each) => (
            <option key={each.kind} value={each.kind}>
              {each.title}
            </option>
          ))}
        </SelectField>
        <SelectField label="To which node" value={nodeId} onChange={(event) => setNode(event.target.value)} note={nodeNote}>
          {isLater && <option value="">the one with the most workloads</option>}
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
          note="From the announcement to the end. EC2 gives 120."
          required
        />
        {kind === DrillKind.PRICE && (
          <TextField
            label="Times the last price"
            type="number"
            min={1.1}
            max={100}
            step={0.1}
            value={factor}
            onChange={(event) => setFactor(event.target.value)}
            required
          />
        )}
      </>
    ),
  };
}

export function StartNow() {
  const navigate = useNavigate();
  const { wanted, fields } = useWanted(false);
  const start = useAct(() => api.drills.startDrill(wanted), {
    touches: ["drill", "node"],
    onDone: ({ drill }) => drill !== undefined && void navigate({ to: "/drills/$id", params: { id: drill.id } }),
  });
  return (
    <Panel title="Start a drill">
      <Form onSubmit={() => start.mutate(undefined)}>
        {fields}
        <Button tone="danger" type="submit" isBusy={start.isPending} disabled={wanted.nodeId === ""}>
          {drillKinds.find(({ kind }) => kind === wanted.kind)?.verb} {wanted.nodeId}
        </Button>
      </Form>
    </Panel>
  );
}
