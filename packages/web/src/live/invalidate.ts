// Which queries an event makes old. Events come in bursts: what they make old is gathered, and read again once a moment later.
import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import type { QueryClient } from "@tanstack/react-query";

/** First words of query keys, by the noun before the slash of the event's subject. */
const touched: Readonly<Record<string, readonly string[]>> = {
  node: ["node", "decision", "signal", "certificate", "risk"],
  workload: ["workload", "node", "certificate"],
  migration: ["migration", "workload", "node", "drill"],
  drill: ["drill", "node"],
  snapshot: ["snapshot", "workload"],
  certificate: ["certificate"],
  pool: ["risk"],
  feed: ["risk"],
};

export const nounsOf = (event: Pick<Event, "subject">): readonly string[] => touched[event.subject.split("/")[0] ?? ""] ?? [];

const gatherMs = 150;

export function createInvalidator(client: QueryClient): { note(event: Event): void; all(): void } {
  const nouns = new Set<string>();
  const subjects = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    timer = undefined;
    const isOld = (key: readonly unknown[]) =>
      (typeof key[0] === "string" && nouns.has(key[0])) || (key[0] === "event" && typeof key[1] === "string" && subjects.has(key[1]));
    void client.invalidateQueries({ predicate: ({ queryKey }) => isOld(queryKey) }, { cancelRefetch: false });
    nouns.clear();
    subjects.clear();
  };
  return {
    note(event) {
      for (const noun of nounsOf(event)) nouns.add(noun);
      subjects.add(event.subject);
      if (timer === undefined) timer = setTimeout(flush, gatherMs);
    },
    all: () => void client.invalidateQueries({}, { cancelRefetch: false }),
  };
}
