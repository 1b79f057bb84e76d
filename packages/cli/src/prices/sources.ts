// Where the prices behind an answer came from: shown below every table that is made of them.
import type { PriceBook, PriceOrigin } from "@aether/risk";

/** Each source once, with the newest time at which it was confirmed. */
export function sourcesOf(book: PriceBook): PriceOrigin[] {
  const found = new Map<string, PriceOrigin>();
  for (const pool of book.pools) {
    for (const each of [book.spotSource(pool), book.onDemand(pool), book.advisorBand(pool)]) {
      if (each === undefined) continue;
      const { source, origin, fetchedAt } = each;
      const known = found.get(`${source} ${origin}`);
      if (known === undefined || known.fetchedAt < fetchedAt) found.set(`${source} ${origin}`, { source, origin, fetchedAt });
    }
  }
  return [...found.values()];
}

export const saySource = ({ source, origin, fetchedAt }: PriceOrigin): string => `from ${source}, ${origin}, ${fetchedAt.toISOString()}`;
