import { problemOf } from "../api/problem.ts";
import { Button } from "./button.tsx";

/** What went wrong, with the next step; on a page that cannot show its content. */
export function ProblemNote({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = problemOf(error);
  return (
    <div role="alert" className="flex flex-wrap items-center gap-3 rounded-lg border border-bad/40 bg-bad-ground px-4 py-3">
      <div className="min-w-0">
        <p className="font-medium break-words text-bad">{problem.message}</p>
        {/* What is read is read again; what was to be done is not done twice. */}
        <p className="break-words text-text">{problem.isAway && onRetry !== undefined ? "It is tried again by itself." : problem.hint}</p>
      </div>
      {onRetry !== undefined && (
        <Button className="ml-auto" onClick={onRetry}>
          Try again
        </Button>
      )}
    </div>
  );
}
