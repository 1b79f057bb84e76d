// What waits to be written to the stream, as an async iterable: urgent messages (signals, results, hello) before bulk (output, progress).
// Bounded: bulk that may be lost is dropped when the stream does not drain, output waits for room, urgent is always taken.

export interface Outbox<T> extends AsyncIterable<T> {
  /** Taken in any case; few and small by nature. */
  urgent(message: T): void;
  /** False: no room, or ended; the message is lost. */
  offer(message: T): boolean;
  /** Waits for room. False: the outbox ended first. */
  put(message: T, signal: AbortSignal): Promise<boolean>;
  /** Ends the iteration; what waits is thrown away. */
  end(): void;
}

/** @param capacity how many bulk messages may wait. */
export function createOutbox<T>(capacity: number): Outbox<T> {
  const urgent: T[] = [];
  const bulk: T[] = [];
  let isEnded = false;
  let wakeReader: (() => void) | undefined;
  const waitingForRoom = new Set<() => void>();
  const wake = () => {
    wakeReader?.();
    wakeReader = undefined;
  };
  const free = () => {
    for (const resume of [...waitingForRoom]) resume();
  };
  const offer = (message: T): boolean => {
    if (isEnded || bulk.length >= capacity) return false;
    bulk.push(message);
    wake();
    return true;
  };

  return {
    urgent(message) {
      if (isEnded) return;
      urgent.push(message);
      wake();
    },
    offer,
    async put(message, signal) {
      while (!isEnded && !signal.aborted) {
        if (offer(message)) return true;
        await new Promise<void>((resolve) => {
          const done = () => {
            waitingForRoom.delete(done);
            signal.removeEventListener("abort", done);
            resolve();
          };
          waitingForRoom.add(done);
          signal.addEventListener("abort", done, { once: true });
        });
      }
      return false;
    },
    end() {
      isEnded = true;
      urgent.length = 0;
      bulk.length = 0;
      wake();
      free();
    },
    async *[Symbol.asyncIterator]() {
      while (!isEnded) {
        const next = urgent.shift() ?? bulk.shift();
        if (next !== undefined) {
          yield next;
          free();
        } else {
          await new Promise<void>((resolve) => {
            wakeReader = resolve;
          });
        }
      }
    },
  };
}
