// What waits to go down one session's stream. Bounded: an agent that does not read loses its session, not core its memory.

export interface Outbox<Item> extends AsyncIterable<Item> {
  /** Answers false when the stream has ended or is full (which ends it). */
  push(item: Item): boolean;
  end(): void;
}

export function createOutbox<Item>(limit: number): Outbox<Item> {
  const waiting: Item[] = [];
  let hasEnded = false;
  let wake = () => {};
  const end = () => {
    hasEnded = true;
    wake();
  };
  return {
    push(item) {
      if (hasEnded) return false;
      if (waiting.length >= limit) {
        end();
        return false;
      }
      waiting.push(item);
      wake();
      return true;
    },
    end,
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const next = waiting.shift();
        if (next !== undefined) yield next;
        else if (hasEnded) return;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    },
  };
}
