// One clock for the whole page, once a second: times grow old together, and one timer does it.
import { useEffect, useState, useSyncExternalStore } from "react";

let nowMs = Date.now();
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    if (document.hidden) return;
    nowMs = Date.now();
    for (const each of listeners) each();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

export const useNow = (): number => useSyncExternalStore(subscribe, () => nowMs);

/** The same; ten times a second while something is under way that lasts a second. */
export function useSteadyNow(isFast: boolean): number {
  const slowMs = useNow();
  const [fastMs, setFast] = useState(Date.now);
  useEffect(() => {
    if (!isFast) return;
    const every = setInterval(() => setFast(Date.now()), 100);
    return () => clearInterval(every);
  }, [isFast]);
  return isFast ? fastMs : slowMs;
}
