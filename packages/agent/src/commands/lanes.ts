// Who may work at the same time: commands that name a common lane run one after the other, in the order in which they came.

export interface Lanes {
  /** Runs `work` when every earlier holder of any of these lanes has ended. */
  run<T>(names: readonly string[], work: () => Promise<T>): Promise<T>;
}

export function createLanes(): Lanes {
  const tails = new Map<string, Promise<unknown>>();
  return {
    run<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
      const before = Promise.all(names.map((name) => tails.get(name)));
      const mine = before.then(work);
      const settled = mine.then(
        () => undefined,
        () => undefined, // its caller hears it; who waits behind it only needs its end
      );
      for (const name of names) {
        tails.set(name, settled);
        void settled.then(() => {
          if (tails.get(name) === settled) tails.delete(name);
        });
      }
      return mine;
    },
  };
}
