// The command palette: go to any place, node, workload or move by a few letters of its name.
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useId, useMemo, useState } from "react";
import { queries } from "../api/queries.ts";
import { Dialog } from "../ui/dialog.tsx";
import { inputLook } from "../ui/fields.tsx";
import { places } from "./places.ts";
import { rank } from "./rank.ts";
import { toggleTheme } from "./theme.ts";

interface Choice {
  readonly id: string;
  readonly kind: string;
  readonly text: string;
  readonly run: () => void;
}

const shown = 12;

export default function Palette({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const listId = useId();
  const { data: nodes = [] } = useQuery(queries.nodes());
  const { data: workloads = [] } = useQuery(queries.workloads());
  const { data: migrations = [] } = useQuery(queries.migrations());
  const choices = useMemo<readonly Choice[]>(
    () => [
      ...places.map(({ to, title, go }) => ({ id: to, kind: `g ${go}`, text: title, run: () => void navigate({ to }) })),
      { id: "theme", kind: "do", text: "Switch between dark and light", run: toggleTheme },
      ...workloads.map(({ spec }) => {
        const name = spec?.name ?? "";
        return { id: `w/${name}`, kind: "workload", text: name, run: () => void navigate({ to: "/workloads/$name", params: { name } }) };
      }),
      ...nodes.map(({ id }) => ({ id: `n/${id}`, kind: "node", text: id, run: () => void navigate({ to: "/nodes/$id", params: { id } }) })),
      ...migrations.map(({ id, workload, sourceNodeId, targetNodeId }) => ({
        id,
        kind: "migration",
        text: `${workload}: ${sourceNodeId} → ${targetNodeId} ${id}`,
        run: () => void navigate({ to: "/migrations/$id", params: { id } }),
      })),
    ],
    [navigate, nodes, workloads, migrations],
  );
  const found = useMemo(() => rank(choices, text, ({ text: own }) => own).slice(0, shown), [choices, text]);
  const chosen = Math.min(at, found.length - 1);
  const run = (choice: Choice | undefined) => {
    onClose();
    choice?.run();
  };
  return (
    <Dialog title="Search or do" onClose={onClose}>
      <input
        autoFocus
        role="combobox"
        aria-label="Name of a place, node, workload or migration"
        aria-expanded="true"
        aria-controls={listId}
        aria-activedescendant={found[chosen] ? `${listId}-${chosen}` : undefined}
        className={inputLook}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, found.length - 1));
          else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0));
          else if (event.key === "Enter") run(found[chosen]);
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
            onClick={() => run(choice)}
            className={`flex h-8 items-center gap-3 rounded-md px-2 ${i === chosen ? "bg-accent-ground text-accent" : "hover:bg-raised"}`}
          >
            <span className="min-w-0 truncate">{choice.text}</span>
            <span className="ml-auto shrink-0 text-xs text-soft">{choice.kind}</span>
          </div>
        ))}
        {found.length === 0 && <p className="p-2 text-soft">Nothing is called that.</p>}
      </div>
    </Dialog>
  );
}
