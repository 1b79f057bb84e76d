// Two people changed one runbook: both texts, with what each of them has changed.
import type { Runbook } from "@aether/contract/gen/aether/v2/runbook_pb";
import { writeRunbook } from "@aether/contract/runbook-file";
import { BothVersions } from "../versions/both.tsx";
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
  const before = began === undefined ? "" : writeRunbook(began);
  return (
    <BothVersions
      name={mine.name}
      mine={mine}
      theirs={theirs === undefined ? undefined : { set: theirs, draft: theirs }}
      merged={(now) => (began === undefined ? mine : ontoTheirs(began, mine, now))}
      note="What was changed is in bold. Put onto theirs, your description, parameters or steps take the place of theirs where you have changed them. You see the difference before anything is set."
      onGoOn={onGoOn}
      onClose={onClose}
    >
      {(now) => (
        <div className="mt-3 grid gap-3 md:grid-cols-2">
          <Text title="theirs, in force" before={before} text={writeRunbook(now)} />
          <Text title="yours" before={before} text={writeRunbook(mine)} />
        </div>
      )}
    </BothVersions>
  );
}

function Text({ title, before, text }: { title: string; before: string; text: string }) {
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
