// Two people changed one policy: field by field, what each of them says.
import type { Policy } from "@aether/contract/gen/aether/v2/policy_pb";
import { Cell, Row, Table } from "../ui/table.tsx";
import { BothVersions } from "../versions/both.tsx";
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
  return (
    <BothVersions
      name={mine.name.trim()}
      mine={mine}
      theirs={theirs === undefined ? undefined : { set: theirs, draft: draftOf(theirs) }}
      merged={(now) => ontoTheirs(began, mine, now)}
      note="What was changed is in bold. You see what it does to which workload before anything is set."
      onGoOn={onGoOn}
      onClose={onClose}
    >
      {(now) => <Fields began={began} mine={mine} now={now} />}
    </BothVersions>
  );
}

function Fields({ began, mine, now }: { began: Draft; mine: Draft; now: Draft }) {
  const keys = (Object.keys(draftNames) as (keyof typeof draftNames)[]).filter((key) => now[key] !== mine[key]);
  const value = (draft: Draft, key: keyof Draft) => (
    <Cell className={`wrap-anywhere ${draft[key] === began[key] ? "" : "font-medium"}`}>
      {said(draft, key) || <span className="text-soft">not set</span>}
    </Cell>
  );
  return (
    <div className="-mx-5 mt-3 border-y border-line [&_:is(td,th):first-child]:pl-5">
      <Table label="Both versions" head={["", "theirs, in force", "yours"]}>
        {keys.map((key) => (
          <Row key={key}>
            <Cell className="text-soft">{draftNames[key]}</Cell>
            {value(now, key)}
            {value(mine, key)}
          </Row>
        ))}
      </Table>
      {keys.length === 0 && <p className="px-5 py-3">Both say the same.</p>}
    </div>
  );
}
