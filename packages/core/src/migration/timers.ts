// One timer a name: setting it again replaces it.

/** @param due called at or after the time that was set, by `nowMs`. */
export function createTimers(
  nowMs: () => number,
  due: (id: string) => void,
): { set(id: string, atMs: number): void; clear(id: string): void; stop(): void } {
  const timers = new Map<string, NodeJS.Timeout>();
  const clear = (id: string) => {
    clearTimeout(timers.get(id));
    timers.delete(id);
  };
  return {
    clear,
    set(id, atMs) {
      clear(id);
      if (!Number.isFinite(atMs)) return;
      // setTimeout holds 31 bits; whoever is called early looks and waits again.
      const pauseMs = Math.min(2 ** 30, Math.max(0, Math.ceil(atMs - nowMs())));
      timers.set(
        id,
        setTimeout(() => {
          timers.delete(id);
          due(id);
        }, pauseMs),
      );
    },
    stop() {
      for (const id of [...timers.keys()]) clear(id);
    },
  };
}
