// How long what is kept, and what a change will do, before it does it.
import type { GetRetentionResponse, RetentionRule } from "@aether/contract/gen/aether/v2/ops_pb";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { opsQueries, ruleIn, setRetentionFrom } from "../api/ops.ts";
import { Overtaken } from "../api/overtaken.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { count } from "../format/units.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { TextField } from "../ui/fields.tsx";
import { Form } from "../ui/form.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table, wideOnly } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

export default function RetentionSettings() {
  const { data, error, refetch } = useQuery(opsQueries.retention());
  const [changing, setChanging] = useState<RetentionRule>();
  return (
    <>
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      {data !== undefined && (
        <Panel title="How long what is kept" isFlush>
          <Table label="Retention" head={["what", "kept", "may be", "said by", ""]} wide={[2, 3]}>
            {data.rules.map((rule) => (
              <Row key={rule.name}>
                <Cell className="min-w-36">{rule.what}</Cell>
                <Cell className="nums font-medium whitespace-nowrap">{amount(rule)}</Cell>
                <Cell className={`nums whitespace-nowrap text-soft ${wideOnly}`}>
                  {rule.isFixed ? "not changed" : `${count(rule.lowest)} to ${count(rule.highest)} ${rule.unit}`}
                </Cell>
                <Cell className={`whitespace-nowrap text-soft ${wideOnly}`}>
                  {rule.source === "operator" ? (
                    <>
                      {rule.changedBy} <Time at={rule.changedAt} />
                    </>
                  ) : (
                    "the configuration"
                  )}
                </Cell>
                <Cell className="text-right">
                  {!rule.isFixed && (
                    <For as="admin">
                      <Button onClick={() => setChanging(rule)}>Change</Button>
                    </For>
                  )}
                </Cell>
              </Row>
            ))}
          </Table>
        </Panel>
      )}
      {changing !== undefined && <Change rule={changing} onClose={() => setChanging(undefined)} />}
    </>
  );
}

const amount = ({ value, unit, isFixed }: RetentionRule): string => (isFixed && value === 0 ? unit : `${count(value)} ${unit}`);

function Change({ rule, onClose }: { rule: RetentionRule; onClose: () => void }) {
  /** What the change is made from: what somebody else says meanwhile is shown, not written over. */
  const [base, setBase] = useState(rule.value);
  const [text, setText] = useState(String(rule.value));
  const value = Number(text);
  const isFit = Number.isFinite(value) && value >= rule.lowest && value <= rule.highest;
  const change = useAct(() => setRetentionFrom(rule.name, base, value), {
    touches: ["retention"],
    done: () => `${rule.what}: ${count(value)} ${rule.unit}, from now on.`,
    onDone: onClose,
  });
  if (change.error instanceof Overtaken) {
    const theirs = ruleIn(change.error.theirs as GetRetentionResponse | undefined, rule.name) ?? rule;
    return (
      <Dialog title={`${rule.what}: changed meanwhile`} onClose={onClose}>
        <p>
          {theirs.changedBy || "The configuration"} says {amount(theirs)} since <Time at={theirs.changedAt} />; when you began it was{" "}
          {count(base)}, and you wrote {count(value)}. Nothing of yours is set yet.
        </p>
        <div className="mt-4 flex justify-end gap-2">
          <Button onClick={onClose}>Leave it at {count(theirs.value)}</Button>
          <Button
            tone="primary"
            onClick={() => {
              setBase(theirs.value);
              change.reset();
            }}
          >
            Go on with mine
          </Button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title={rule.what} onClose={onClose}>
      <Form
        onSubmit={() => {
          if (isFit) change.mutate(undefined);
        }}
      >
        <TextField
          label={`Kept, ${rule.unit}`}
          type="number"
          min={rule.lowest}
          max={rule.highest}
          step="any"
          value={text}
          autoFocus
          onChange={(event) => setText(event.target.value)}
          note={`Now ${amount({ ...rule, value: base })}.`}
        />
        {isFit && value < base && (
          <p className="rounded-md bg-bad-ground px-3 py-2 text-bad">
            What is beyond {count(value)} {rule.unit} is removed now, and does not come back when you raise it again.
          </p>
        )}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Not now</Button>
          <Button tone={value < base ? "danger" : "primary"} type="submit" disabled={!isFit || value === base} isBusy={change.isPending}>
            {value < base ? "Keep less" : "Keep it so"}
          </Button>
        </div>
      </Form>
    </Dialog>
  );
}
