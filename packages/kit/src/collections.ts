// How long this process stood still for its garbage: what a tail of a few tens of milliseconds often is, and nothing else tells.
import { type PerformanceEntry, PerformanceObserver } from "node:perf_hooks";

export interface Collections {
  /** Since the count began, ms, without what this turn of the event loop has collected: Node tells of it in the next. */
  soFar(): number;
  /** The same, and ends the count. Safe to repeat. */
  end(): number;
}

export function countCollections(): Collections {
  let ms = 0;
  const add = (entries: readonly PerformanceEntry[]) => {
    for (const { duration } of entries) ms += duration;
  };
  const observer = new PerformanceObserver((list) => add(list.getEntries()));
  observer.observe({ entryTypes: ["gc"] });
  const soFar = () => {
    add(observer.takeRecords());
    return ms;
  };
  return {
    soFar,
    end() {
      soFar();
      observer.disconnect();
      return ms;
    },
  };
}
