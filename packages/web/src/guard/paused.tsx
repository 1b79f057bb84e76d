import { useQuery } from "@tanstack/react-query";
import { api } from "../api/clients.ts";
import { queries } from "../api/queries.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { Button } from "../ui/button.tsx";
import { Time } from "../ui/time.tsx";

/** On the overview: only while it is on. */
export function PausedNote() {
  const { data: guards } = useQuery(queries.guards());
  if (guards?.isPaused !== true) return null;
  return (
    <div role="alert" className="flex flex-wrap items-center gap-3 rounded-lg border border-bad/40 bg-bad-ground px-4 py-3">
      <p className="min-w-0 wrap-anywhere">
        <strong className="font-medium text-bad">Moves are paused.</strong> Nothing moves by itself, not even on a notice. {guards.pausedBy}
        {guards.pausedReason !== "" && `: ${guards.pausedReason}`} <Time at={guards.pausedAt} isAgo />
      </p>
      <For as="operator">
        <Resume />
      </For>
    </div>
  );
}

export function Resume() {
  const resume = useAct(() => api.guards.resumeMoves({}), { touches: ["guard"], done: () => "Moves happen by themselves again." });
  return (
    <Button className="ml-auto" onClick={() => resume.mutate(undefined)} isBusy={resume.isPending}>
      Let them move again
    </Button>
  );
}
