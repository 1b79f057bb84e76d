// What was made is taken away again in the reverse order, so that nothing loses what it stands on. (DisposableStack is not in every Node that we run on.)

export interface Undo {
  /** Returns what was made; `takeAway` is called with it when it is over. */
  add<T>(made: T, takeAway: (made: T) => unknown): T;
  /** Takes all of it away, the last first, each whatever became of the others. Throws the first failure. Safe to repeat. */
  run(): Promise<void>;
}

export function createUndo(): Undo {
  const steps: (() => unknown)[] = [];
  return {
    add(made, takeAway) {
      steps.push(() => takeAway(made));
      return made;
    },
    async run() {
      const failures: unknown[] = [];
      for (const step of steps.splice(0).reverse()) {
        try {
          await step();
        } catch (caught) {
          failures.push(caught);
        }
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}
