import { useEffect, useState } from "react";

/**
 * True when each of these has been read, or has failed, and from then on. What stands above decides where the rest is: a page is shown when all of that is
 * known, so nothing jumps.
 */
export function useKnown(queries: readonly { readonly isPending: boolean }[]): boolean {
  const [wasKnown, setKnown] = useState(false);
  const isKnown = queries.every(({ isPending }) => !isPending);
  useEffect(() => {
    if (isKnown) setKnown(true);
  }, [isKnown]);
  return wasKnown || isKnown;
}
