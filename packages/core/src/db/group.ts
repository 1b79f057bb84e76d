// Many callers, one transaction: whoever comes while one runs is taken along by the next. A fleet that is told of its end within a second
// costs a few commits instead of hundreds, and a single caller waits for nobody.

/** @param most items of one group. `run` answers one result an item, in their order; when it throws, each is tried alone. */
export function createGroup<Item, Result>(
  run: (items: readonly Item[]) => Promise<readonly Result[]>,
  most = 500,
): (item: Item) => Promise<Result> {
  const waiting: { item: Item; resolve(result: Result): void; reject(reason: unknown): void }[] = [];
  let isRunning = false;

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      const group = waiting.splice(0, most);
      try {
        const results = await run(group.map(({ item }) => item));
        for (const [i, { resolve }] of group.entries()) resolve(results[i] as Result);
      } catch (caught) {
        // One of them may be the reason: it must not take the others with it.
        if (group.length === 1) group[0]?.reject(caught);
        else for (const { item, resolve, reject } of group) await run([item]).then(([result]) => resolve(result as Result), reject);
      }
    }
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (isRunning) return;
      isRunning = true;
      void drain().finally(() => {
        isRunning = false;
      });
    });
}
