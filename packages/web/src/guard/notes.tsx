import type { GuardNote } from "@aether/contract/gen/aether/v2/guard_pb";
import { Badge } from "../ui/badge.tsx";

/** The guard rails that had an effect, each with what it did. */
export function GuardNotes({ notes }: { notes: readonly GuardNote[] }) {
  if (notes.length === 0) return null;
  return (
    <ul className="grid gap-1" aria-label="Guard rails that had an effect">
      {notes.map((note) => (
        <li key={note.guard + note.subject + note.effect} className="flex flex-wrap items-baseline gap-2">
          <Badge tone={note.effect === "refused" ? "bad" : note.effect === "overridden" ? "accent" : "warn"}>
            {note.guard.replaceAll("_", " ")}: {note.effect.replaceAll("_", " ")}
          </Badge>
          <span className="min-w-0 wrap-anywhere text-soft">
            {note.subject} {note.detail}
          </span>
        </li>
      ))}
    </ul>
  );
}
