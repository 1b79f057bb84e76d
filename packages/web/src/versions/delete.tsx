// Asks before a thing with versions is deleted, and leaves its page then.
import { useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useAct } from "../app/act.ts";
import { Ask } from "../ui/ask.tsx";

interface Props {
  /** "policy" */
  readonly what: string;
  readonly name: string;
  readonly remove: () => Promise<unknown>;
  /** First words of the queries that are old then. */
  readonly touches: readonly string[];
  /** What stays readable. */
  readonly stays: string;
  /** The list of what is left. */
  readonly list: "/policies" | "/runbooks";
  /** What it means for those who use it. */
  readonly children: ReactNode;
  readonly onClose: () => void;
}

export function DeleteVersioned({ what, name, remove, touches, stays, list, children, onClose }: Props) {
  const navigate = useNavigate();
  const act = useAct(remove, {
    touches,
    done: () => `The ${what} ${name} is gone. ${stays}`,
    onDone: () => {
      onClose();
      void navigate({ to: list, search: {} });
    },
  });
  return (
    <Ask title={`Delete the ${what} ${name}?`} act="Delete it" isBusy={act.isPending} onAct={() => act.mutate(undefined)} onClose={onClose}>
      <p>
        {children} {stays}
      </p>
    </Ask>
  );
}
