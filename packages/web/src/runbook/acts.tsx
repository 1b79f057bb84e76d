// What a step can be made of, beside the text that one writes.
import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import type { RunbookAct } from "@aether/contract/gen/aether/v2/runbook_pb";
import { useQuery } from "@tanstack/react-query";
import { runbookQueries } from "../api/runbooks.ts";
import { words } from "../format/units.ts";

export function ActsReference() {
  const { data: acts = [] } = useQuery(runbookQueries.acts());
  return (
    // Reached by keyboard through its summaries, and scrolled by them.
    <section aria-label="What a step can do" className="max-h-[min(30rem,55dvh)] overflow-y-auto rounded-md border border-line">
      <h3 className="border-b border-line px-3 py-2 font-medium">What a step can do</h3>
      <ul>
        {acts.map((act) => (
          <li key={act.name} className="border-b border-line last:border-b-0">
            <Act act={act} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Act({ act: { name, description, inputs, requiredRole, isUndoable } }: { act: RunbookAct }) {
  return (
    <details>
      <summary className="flex min-h-8 items-center gap-2 px-3 hover:bg-raised">
        <code className="font-mono">{name}</code>
        <span className="ml-auto text-xs text-soft">{words(Role[requiredRole])}</span>
      </summary>
      <div className="grid gap-2 px-3 pb-3 text-xs">
        <p className="text-soft">
          {description}
          {isUndoable && " Can be taken back."}
        </p>
        {inputs.length > 0 && (
          <dl className="grid gap-1.5">
            {inputs.map((input) => (
              <div key={input.name}>
                <dt>
                  <code className="font-mono">{input.name}</code>{" "}
                  <span className="text-soft">
                    {input.type === "choice" ? input.choices.join(" | ") : input.type}
                    {input.defaultValue === undefined ? ", needed" : input.defaultValue === "" ? "" : `, else ${input.defaultValue}`}
                  </span>
                </dt>
                <dd className="text-soft">{input.description}</dd>
              </div>
            ))}
          </dl>
        )}
      </div>
    </details>
  );
}
