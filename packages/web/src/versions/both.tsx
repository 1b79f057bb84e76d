// Two people changed one thing: both versions beside each other, and nothing of either is lost.
import type { ReactNode } from "react";
import { Button } from "../ui/button.tsx";
import { Time } from "../ui/time.tsx";
import type { Versioned } from "./versioned.ts";

interface Props<Draft> {
  readonly name: string;
  /** As it was written here. */
  readonly mine: Draft;
  /** Undefined: it was deleted. */
  readonly theirs: { readonly set: Versioned; readonly draft: Draft } | undefined;
  /** `theirs` with what was changed here. */
  readonly merged: (theirs: Draft) => Draft;
  /** Shows both. */
  readonly children: (theirs: Draft) => ReactNode;
  /** What bold means, and what comes before anything is set. */
  readonly note: string;
  readonly onGoOn: (draft: Draft) => void;
  readonly onClose: () => void;
}

export function BothVersions<Draft>({ name, mine, theirs, merged, children, note, onGoOn, onClose }: Props<Draft>) {
  if (theirs === undefined) {
    return (
      <>
        <p>{name} was deleted while you wrote. What you wrote is still here.</p>
        <Choices>
          <Button onClick={onClose}>Leave it deleted</Button>
          <Button tone="primary" onClick={() => onGoOn(mine)}>
            Go on, and make it anew
          </Button>
        </Choices>
      </>
    );
  }
  const { set, draft } = theirs;
  return (
    <>
      <p>
        {set.changedBy} has set version {set.version} at <Time at={set.changedAt} />, while you wrote. Nothing of yours is set, and nothing
        is lost.
      </p>
      {children(draft)}
      <p className="mt-2 text-xs text-soft">{note}</p>
      <Choices>
        <Button onClick={onClose}>Leave theirs</Button>
        <Button onClick={() => onGoOn(draft)}>Go on from theirs</Button>
        <Button tone="primary" onClick={() => onGoOn(merged(draft))}>
          Put mine onto theirs
        </Button>
      </Choices>
    </>
  );
}

const Choices = ({ children }: { children: ReactNode }) => <div className="mt-4 flex flex-wrap justify-end gap-2">{children}</div>;
