import { MigrationState } from "@aether/contract/gen/aether/v2/migration_pb";
import { migrationWord } from "../ui/states.tsx";

const path = [
  MigrationState.PLANNED,
  MigrationState.PREPARING,
  MigrationState.COPYING,
  MigrationState.FREEZING,
  MigrationState.RESTORING,
  MigrationState.VERIFYING,
  MigrationState.COMMITTED,
  MigrationState.RESUMED,
  MigrationState.DONE,
];

/** The states of a move in their order, and where it is. */
export function Steps({ state }: { state: MigrationState }) {
  const index = path.indexOf(state);
  const isDone = state === MigrationState.DONE;
  const off = index < 0 ? [state] : [];
  return (
    <ol className="flex flex-wrap gap-x-1 gap-y-1 text-xs" aria-label="States">
      {[...path, ...off].map((each, i) => {
        const isPast = isDone || (index >= 0 && i < index);
        const isNow = each === state && !isDone;
        const look = isNow
          ? index < 0
            ? "bg-bad-ground text-bad font-medium"
            : "bg-accent-ground text-accent font-medium"
          : isPast
            ? "bg-good-ground text-good"
            : "bg-raised text-soft";
        return (
          <li key={each} aria-current={isNow ? "step" : undefined} className={`rounded px-2 py-0.5 ${look}`}>
            {migrationWord(each)}
          </li>
        );
      })}
    </ol>
  );
}
