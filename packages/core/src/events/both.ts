// Two streams as one, in the order in which they speak. It ends, and ends both, when the signal aborts, when one of them ends, or when one of them fails.

type Open<Value> = (signal: AbortSignal) => AsyncIterable<Value>;

export async function* both<First, Second>(
  openFirst: Open<First>,
  openSecond: Open<Second>,
  signal: AbortSignal,
): AsyncGenerator<{ readonly from: "first"; readonly value: First } | { readonly from: "second"; readonly value: Second }> {
  const ending = new AbortController();
  const life = AbortSignal.any([signal, ending.signal]);
  const first = openFirst(life)[Symbol.asyncIterator]();
  const second = openSecond(life)[Symbol.asyncIterator]();
  const askFirst = () => first.next().then((result) => ({ from: "first" as const, result }));
  const askSecond = () => second.next().then((result) => ({ from: "second" as const, result }));
  let waiting = { first: askFirst(), second: askSecond() };
  try {
    for (;;) {
      const said = await Promise.race([waiting.first, waiting.second]);
      if (said.result.done === true) return;
      if (said.from === "first") {
        yield { from: "first", value: said.result.value };
        waiting = { ...waiting, first: askFirst() };
      } else {
        yield { from: "second", value: said.result.value };
        waiting = { ...waiting, second: askSecond() };
      }
    }
  } finally {
    ending.abort();
    await Promise.allSettled([waiting.first, waiting.second]);
    await Promise.allSettled([first.return?.(), second.return?.()]);
  }
}
