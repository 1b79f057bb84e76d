// Two people changed one runbook: both versions beside each other, and nothing of either is lost.
import type { Runbook } from "@aether/contract/gen/aether/v2/runbook_pb";
import { writeRunbook } from "@aether/contract/runbook-file";
import { Button } from "../ui/button.tsx";
import { Time } from "../ui/time.tsx";
import { diffLines } from "./diff.ts";
import { ontoTheirs } from "./draft.ts";

interface Props {
  /** Undefined: there was none. */
  readonly began: Runbook | undefined;
  readonly mine: Runbook;
  /** Undefined: it was deleted. */
  readonly theirs: Runbook | undefined;
  /** Goes on in the editor with this, made from `theirs`. */
  readonly onGoOn: (runbook: Runbook) => void;
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
  const before = began === undefined ? "" : writeRunbook(began);
  return (
    <>
      <p>
        {theirs.changedBy} has set version {theirs.version} at <Time at={theirs.changedAt} />, while you wrote. Nothing of yours is set, and
        nothing is lost.
      </p>
      <div className="mt-3 grid gap-3 md:grid-cols-2">
        <Version title="theirs, in force" before={before} text={writeRunbook(theirs)} />
        <Version title="yours" before={before} text={writeRunbook(mine)} />
      </div>
      <p className="mt-2 text-xs text-soft">
        What was changed is in bold. Put onto theirs, your description, parameters or steps take the place of theirs where you have changed
        them. You see the difference before anything is set.
      </p>
      <div className="mt-4 flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>Leave theirs</Button>
        <Button onClick={() => onGoOn(theirs)}>Go on from theirs</Button>
        <Button tone="primary" onClick={() => onGoOn(began === undefined ? mine : ontoTheirs(began, mine, theirs))}>
          Put mine onto theirs
        </Button>
      </div>
    </>
  );
}

function Version({ title, before, text }: { title: string; before: string; text: string }) {
  return (
    <div className="grid min-w-0 gap-1">
      <h3 className="text-xs text-soft">{title}</h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard (WCAG 2.1.1) */}
      <section aria-label={title} tabIndex={0} className="max-h-[40dvh] overflow-auto rounded-md border border-line p-2 font-mono text-xs">
        {diffLines(before.trimEnd(), text.trimEnd())
          .filter(({ is }) => is !== "gone")
          .map(({ is, text: line }, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: lines do not move
            <div key={i} className={`leading-5 whitespace-pre ${is === "new" ? "font-bold" : "text-soft"}`}>
              {line === "" ? " " : line}
            </div>
          ))}
      </section>
    </div>
  );
}
