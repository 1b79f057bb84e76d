// People who want a move to end. Each waits until it is on record that the move rolls back, or hears why it does not.
import { fault } from "@aether/contract";
import type { Held } from "./held.ts";
import type { Journal } from "./journal.ts";

export interface Cancels {
  /** Resolves when the wish is on record. Throws MIGRATION_PAST_COMMIT, MIGRATION_NOT_FOUND. */
  ask(id: string, actor: string): Promise<void>;
  /** Puts on record what was asked of this move. */
  note(held: Held): Promise<void>;
  /** The move has ended: whoever still waits hears it. */
  refuse(id: string, code: "MIGRATION_NOT_FOUND" | "MIGRATION_PAST_COMMIT"): void;
}

export function createCancels(journal: Pick<Journal, "requestCancel">, nowMs: () => number): Cancels {
  const waiting = new Map<string, { actor: string; resolve(): void; reject(reason: unknown): void }[]>();

  function take(id: string) {
    const taken = waiting.get(id) ?? [];
    waiting.delete(id);
    return taken;
  }

  return {
    ask: (id, actor) =>
      new Promise((resolve, reject) => {
        waiting.set(id, [...(waiting.get(id) ?? []), { actor, resolve, reject }]);
      }),
    async note(held) {
      const { id, workload, targetNodeId } = held.record;
      for (const { actor, resolve, reject } of take(id)) {
        try {
          if (await journal.requestCancel(held.record, actor, nowMs())) {
            held.record = { ...held.record, isCancelRequested: true };
            resolve();
          } else reject(fault("MIGRATION_PAST_COMMIT", `${id}: the commit is made, ${workload} belongs to ${targetNodeId}`));
        } catch (caught) {
          reject(caught);
        }
      }
    },
    refuse(id, code) {
      const message = code === "MIGRATION_NOT_FOUND" ? `${id} has ended` : `${id} has ended; its commit was made`;
      for (const { reject } of take(id)) reject(fault(code, message));
    },
  };
}
