// Two people changed one policy: both versions beside each other, and nothing of either is lost.
import type { Policy } from "@aether/contract/gen/aether/v2/policy_pb";
import { Button } from "../ui/button.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { type Draft, draftNames, draftOf, ontoTheirs, said } from "./draft.ts";

interface Props {
  readonly began: Draft;
  readonly mine: Draft;
  /** Undefined: it was deleted. */
  readonly theirs: Policy | undefined;
  /** Goes on in the form with this, made from `theirs`. */
  readonly onGoOn: (draft: Draft) => void;
  readonly onClose: () => void;
}

export function OvertakenNote({ began, mine, theirs, onGoOn, onClose }: Props) {
  if (theirs === undefined) {
    return (
      <>
        <p>{mine.name} was deleted while you wrote. What you wrote is still here.</p>
        <div className="mt-4 flex flex-wrap justify-end gap-2">
          <Button onClick={onClose}>Leave it deleted</Button>
          <Button tone="primary" onClick={() => onGoOn(mine)}>
            Go on, and make it anew
          </Button>
        </div>
      </>
    );
  }
  const now = draftOf(theirs);
  const keys = (Object.keys(draftNames) as (keyof typeof draftNames)[]).filter((key) => now[key] !== mine[key]);
  const value = (draft: Draft, key: keyof typeof draftNames) => said(draft, key) || <span className="text-soft">not set</span>;
  return (
    <>
      <p>
        {theirs.changedBy} has set version {theirs.version} at <Time at={theirs.changedAt} />, while you wrote. Nothing of yours is set, and
        nothing is lost.
      </p>
      <div className="-mx-5 mt-3 border-y border-line [&_:is(td,th):first-child]:pl-5">
        <Table label="Both versions" head={["", "theirs, in force", "yours"]}>
          {keys.map((key) => (
            <Row key={key}>
              <Cell className="text-soft">{draftNames[key]}</Cell>
              <Cell className={`wrap-anywhere ${now[key] === began[key] ? "" : "font-medium"}`}>{value(now, key)}</Cell>
              <Cell className={`wrap-anywhere ${mine[key] === began[key] ? "" : "font-medium"}`}>{value(mine, key)}</Cell>
            </Row>
          ))}
        </Table>
        {keys.length === 0 && <p className="px-5 py-3">Both say the same.</p>}
      </div>
      <p className="mt-2 text-xs text-soft">What was changed is in bold. You see what it does to which workload before anything is set.</p>
      <div className="mt-4 flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>Leave theirs</Button>
        <Button onClick={() => onGoOn(now)}>Go on from theirs</Button>
        <Button tone="primary" onClick={() => onGoOn(ontoTheirs(began, mine, now))}>
          Put mine onto theirs
        </Button>
      </div>
    </>
  );
}
