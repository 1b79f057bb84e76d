// The command palette: go to any place or thing by a few letters of its name, and begin what can be done. A verb takes what it is about:
// "move" lists the workloads that can be moved.
import { WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useId, useMemo, useState } from "react";
import { policyQueries } from "../api/policies.ts";
import { queries } from "../api/queries.ts";
import { runbookQueries } from "../api/runbooks.ts";
import { Dialog } from "../ui/dialog.tsx";
import { inputLook } from "../ui/fields.tsx";
import type { Act } from "./acting.tsx";
import { useMay } from "./caller.tsx";
import { places } from "./places.ts";
import { rank } from "./rank.ts";
import { toggleTheme } from "./theme.ts";

interface Choice {
  readonly id: string;
  readonly kind: string;
  readonly text: string;
  /** Puts this into the field in place of doing anything. */
  readonly fill?: string;
  readonly run?: () => void;
}

const shown = 12;

interface Props {
  readonly onClose: () => void;
  readonly onAct: (act: Act) => void;
}

export default function Palette({ onClose, onAct }: Props) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const listId = useId();
  const verbs = useVerbs(onAct);
  const things = useThings(onAct);
  const verb = verbs.find((each) => text.toLowerCase().startsWith(`${each.verb} `));
  const found = useMemo(() => {
    const [choices, wanted] = verb === undefined ? [things, text] : [verb.choices(), text.slice(verb.verb.length + 1)];
    return rank(choices, wanted, ({ text: own }) => own).slice(0, shown);
  }, [verb, things, text]);
  const chosen = Math.min(at, found.length - 1);
  const write = (next: string) => {
    setText(next);
    setAt(0);
  };
  const take = (choice: Choice | undefined) => {
    if (choice?.fill !== undefined) return write(choice.fill);
    onClose();
    choice?.run?.();
  };
  return (
    <Dialog title="Search or do" onClose={onClose}>
      <input
        autoFocus
        role="combobox"
        aria-label="Name of a place or a thing, or what to do"
        aria-expanded="true"
        aria-controls={listId}
        aria-activedescendant={found[chosen] ? `${listId}-${chosen}` : undefined}
        className={inputLook}
        value={text}
        onChange={(event) => write(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, found.length - 1));
          else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0));
          else if (event.key === "Enter") take(found[chosen]);
          else return;
          event.preventDefault();
        }}
      />
      <div id={listId} role="listbox" aria-label="Found" className="mt-2 grid min-h-40 content-start">
        {found.map((choice, i) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are the input's
          <div
            key={choice.id}
            id={`${listId}-${i}`}
            role="option"
            tabIndex={-1}
            aria-selected={i === chosen}
            onClick={() => take(choice)}
            className={`flex h-8 items-center gap-3 rounded-md px-2 ${i === chosen ? "bg-accent-ground text-accent" : "hover:bg-raised"}`}
          >
            <span className="min-w-0 truncate">{choice.text}</span>
            <span className={`ml-auto shrink-0 text-xs ${i === chosen ? "" : "text-soft"}`}>{choice.kind}</span>
          </div>
        ))}
        {found.length === 0 && (
          <p className="p-2 text-soft">{verb === undefined ? "Nothing is called that." : "Nothing fits: it must run, or be connected."}</p>
        )}
      </div>
      <p className="mt-2 hidden text-xs text-soft sm:block">
        <kbd className="font-mono">↑ ↓</kbd> choose · <kbd className="font-mono">Enter</kbd> take · <kbd className="font-mono">g</kbd> and a
        letter go to a page from anywhere
      </p>
    </Dialog>
  );
}

interface Verb {
  readonly verb: string;
  readonly text: string;
  readonly choices: () => readonly Choice[];
}

/** What an operator can begin. Each says in a dialog what it will do. */
function useVerbs(onAct: (act: Act) => void): readonly Verb[] {
  const may = useMay("operator");
  const navigate = useNavigate();
  const { data: runbooks = [] } = useQuery(runbookQueries.list());
  const { data: nodes = [] } = useQuery(queries.nodes());
  const { data: workloads = [] } = useQuery(queries.workloads());
  return useMemo(() => {
    if (!may) return [];
    const ofNodes = (kind: "interrupt" | "drain", isFit: (node: (typeof nodes)[number]) => boolean) => () =>
      nodes.filter(isFit).map((node) => ({ id: node.id, kind, text: node.id, run: () => onAct({ kind, node }) }));
    return [
      {
        verb: "move",
        text: "Move a workload…",
        choices: () =>
          workloads
            .filter(({ state }) => state === WorkloadState.RUNNING)
            .map((workload) => ({
              id: workload.spec?.name ?? "",
              kind: `on ${workload.nodeId}`,
              text: workload.spec?.name ?? "",
              run: () => onAct({ kind: "move", workload }),
            })),
      },
      { verb: "interrupt", text: "Interrupt a node…", choices: ofNodes("interrupt", ({ isConnected }) => isConnected) },
      {
        verb: "drain",
        text: "Drain a node…",
        choices: ofNodes("drain", ({ isConnected, workloads: here }) => isConnected && here.length > 0),
      },
      {
        verb: "run",
        text: "Run a runbook…",
        choices: () =>
          runbooks.map(({ name }) => ({
            id: name,
            kind: "runbook",
            text: name,
            run: () => void navigate({ to: "/runbooks", search: { start: name } }),
          })),
      },
    ];
  }, [may, nodes, workloads, runbooks, navigate, onAct]);
}

/** Places, then what can be begun, then things by their names. */
function useThings(onAct: (act: Act) => void): readonly Choice[] {
  const navigate = useNavigate();
  const mayAdmin = useMay("admin");
  const verbs = useVerbs(onAct);
  const { data: nodes = [] } = useQuery(queries.nodes());
  const { data: workloads = [] } = useQuery(queries.workloads());
  const { data: migrations = [] } = useQuery(queries.migrations());
  const { data: policies = [] } = useQuery(policyQueries.list());
  const { data: runbooks = [] } = useQuery(runbookQueries.list());
  return useMemo(
    () => [
      ...places.map(({ to, title, go }) => ({ id: to, kind: `g ${go}`, text: title, run: () => void navigate({ to }) })),
      ...verbs.map(({ verb, text }) => ({ id: `do/${verb}`, kind: "do", text, fill: `${verb} ` })),
      ...(mayAdmin
        ? [
            { id: "do/join", kind: "do", text: "Add a node…", run: () => onAct({ kind: "join" }) },
            { id: "do/policy", kind: "do", text: "New policy…", run: () => onAct({ kind: "policy" }) },
            { id: "do/runbook", kind: "do", text: "New runbook…", run: () => onAct({ kind: "runbook" }) },
          ]
        : []),
      { id: "theme", kind: "do", text: "Switch between dark and light", run: toggleTheme },
      ...workloads.map(({ spec }) => {
        const name = spec?.name ?? "";
        return { id: `w/${name}`, kind: "workload", text: name, run: () => void navigate({ to: "/workloads/$name", params: { name } }) };
      }),
      ...nodes.map(({ id }) => ({ id: `n/${id}`, kind: "node", text: id, run: () => void navigate({ to: "/nodes/$id", params: { id } }) })),
      ...policies.map(({ name }) => ({
        id: `p/${name}`,
        kind: "policy",
        text: name,
        run: () => void navigate({ to: "/policies/$name", params: { name } }),
      })),
      ...runbooks.map(({ name }) => ({
        id: `r/${name}`,
        kind: "runbook",
        text: name,
        run: () => void navigate({ to: "/runbooks/$name", params: { name } }),
      })),
      ...migrations.map(({ id, workload, sourceNodeId, targetNodeId }) => ({
        id,
        kind: "migration",
        text: `${workload}: ${sourceNodeId} → ${targetNodeId} ${id}`,
        run: () => void navigate({ to: "/migrations/$id", params: { id } }),
      })),
    ],
    [navigate, mayAdmin, verbs, nodes, workloads, migrations, policies, runbooks, onAct],
  );
}
