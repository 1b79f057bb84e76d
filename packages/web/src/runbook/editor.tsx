// A runbook as the text that files have it in. Nothing is set before the control plane has called it whole, and one has seen what is different.
import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import type { GetRunbookResponse, Runbook } from "@aether/contract/gen/aether/v2/runbook_pb";
import { readRunbook, writeRunbook } from "@aether/contract/runbook-file";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useId, useRef, useState } from "react";
import { Overtaken } from "../api/overtaken.ts";
import { runbookApi, runbookQueries, setRunbookFrom } from "../api/runbooks.ts";
import { useAct } from "../app/act.ts";
import { plural, words } from "../format/units.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { ActsReference } from "./acts.tsx";
import { Changes } from "./changes.tsx";
import { CodeField, lineHeight } from "./code-field.tsx";
import { type Refused, refusalOf, refuseName, textOf } from "./draft.ts";
import { OvertakenNote } from "./overtaken.tsx";

interface Props {
  /** The one to change; undefined: a new one. */
  readonly runbook: Runbook | undefined;
  /** What a new one begins from; undefined: an example. */
  readonly from?: Runbook | undefined;
  readonly onClose: () => void;
}

export default function RunbookEditor({ runbook, from, onClose }: Props) {
  const navigate = useNavigate();
  const noteId = useId();
  const { data: all = [] } = useQuery(runbookQueries.list());
  const area = useRef<HTMLTextAreaElement>(null);
  /** What the text was begun from: it is set only while that is in force. */
  const [base, setBase] = useState(runbook);
  const [began] = useState(() => textOf(runbook, from));
  const [text, setText] = useState(began);
  const check = useMutation({
    mutationFn: async () => {
      const given = readRunbook(text);
      refuseName(
        given.name,
        runbook?.name,
        all.map(({ name }) => name),
      );
      const { requiredRole } = await runbookApi.validateRunbook({ runbook: given });
      return { given, requiredRole };
    },
    onError: (caught) => goTo(refusalOf(text, caught)),
  });
  const set = useAct((given: Runbook) => setRunbookFrom(base?.version ?? 0, given), {
    touches: ["runbook"],
    done: ({ runbook: made }) => `${made?.name ?? "It"}, version ${made?.version ?? 1}: what is begun from now on runs so.`,
    onDone: ({ runbook: made }) => {
      onClose();
      if (made !== undefined) void navigate({ to: "/runbooks/$name", params: { name: made.name }, search: {} });
    },
  });
  const write = (next: string) => {
    check.reset();
    set.reset();
    setText(next);
  };
  const goTo = ({ line, from: start, to }: Refused) => {
    if (area.current === null || line === undefined) return;
    area.current.focus();
    area.current.setSelectionRange(start, to);
    area.current.scrollTop = Math.max(0, (line - 5) * lineHeight);
  };
  if (set.error instanceof Overtaken && check.data !== undefined) {
    const theirs = (set.error.theirs as GetRunbookResponse | undefined)?.runbook;
    return (
      <Dialog title={`${check.data.given.name} was changed meanwhile`} onClose={onClose} isWide hasUnsaved>
        <OvertakenNote
          began={base}
          mine={check.data.given}
          theirs={theirs}
          onGoOn={(next) => {
            setBase(theirs);
            write(writeRunbook(next));
          }}
          onClose={onClose}
        />
      </Dialog>
    );
  }
  const failure = check.error ?? set.error;
  const refused = failure === null ? undefined : refusalOf(text, failure);
  const before = base === undefined ? undefined : writeRunbook(base);
  const after = check.data === undefined ? undefined : writeRunbook(check.data.given);
  return (
    <Dialog title={runbook === undefined ? "New runbook" : `Change ${runbook.name}`} onClose={onClose} isWide hasUnsaved={text !== began}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (check.data === undefined) check.mutate();
          else set.mutate(check.data.given);
        }}
      >
        <div className="-mx-2 grid max-h-[75dvh] gap-3 overflow-y-auto px-2 pb-1">
          <div className="grid gap-3 lg:grid-cols-[minmax(0,1fr)_18rem]">
            <CodeField
              ref={area}
              label="The runbook, as YAML"
              value={text}
              onChange={write}
              wrongLine={refused?.line}
              describedBy={refused === undefined ? undefined : noteId}
            />
            <ActsReference />
          </div>
          {refused !== undefined && (
            <div
              ref={intoView}
              id={noteId}
              role="alert"
              className="flex flex-wrap items-center gap-3 rounded-md bg-bad-ground px-3 py-2 text-bad"
            >
              <p className="min-w-0 flex-1 basis-60 wrap-anywhere">
                {refused.line !== undefined && <span className="font-semibold">Line {refused.line}: </span>}
                {refused.message} <span className="text-text">{refused.hint}</span>
              </p>
              {refused.line !== undefined && <Button onClick={() => goTo(refused)}>Go there</Button>}
            </div>
          )}
          {check.data !== undefined && after !== undefined && (
            <section ref={intoView} aria-label="What would change" className="grid gap-2">
              <p>
                It is whole: {plural(check.data.given.steps.length, "step")}. Whoever runs it needs the role{" "}
                {words(Role[check.data.requiredRole])}.{" "}
                {before === undefined
                  ? "There is none of this name yet."
                  : after === before
                    ? `It says the same as version ${base?.version}: there is nothing to set.`
                    : `Runs under way go on as they began. Against version ${base?.version}:`}
              </p>
              {before !== undefined && after !== before && <Changes before={before} after={after} />}
            </section>
          )}
        </div>
        <div className="mt-4 flex flex-wrap items-center justify-end gap-2">
          <p className="mr-auto text-xs text-soft">As `aether runbook show` prints it. Comments are not kept.</p>
          <Button onClick={onClose}>Not now</Button>
          <Button tone="primary" type="submit" disabled={after !== undefined && after === before} isBusy={check.isPending || set.isPending}>
            {check.data === undefined ? "Check it" : "Set it"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

const intoView = (element: HTMLElement | null) => element?.scrollIntoView({ block: "nearest" });
