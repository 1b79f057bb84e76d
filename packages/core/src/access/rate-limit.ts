// Token buckets: a burst at once, then a steady rate. Per token and per address, in memory: a restart forgives.
import { type Fault, fault } from "@aether/contract";

export interface RateLimit {
  /** Takes one; answers 0 when it was there, else the seconds until it will be. */
  take(key: string): number;
}

interface Bucket {
  left: number;
  atMs: number;
}

export function createRateLimit(perSecond: number, burst: number, monotonicMs: () => number): RateLimit {
  const buckets = new Map<string, Bucket>();
  const refilled = (bucket: Bucket, now: number) => Math.min(burst, bucket.left + ((now - bucket.atMs) / 1000) * perSecond);
  return {
    take(key) {
      const now = monotonicMs();
      // A full bucket says nothing that a missing one does not.
      if (buckets.size > 10_000) for (const [name, bucket] of buckets) if (refilled(bucket, now) >= burst) buckets.delete(name);
      const bucket = buckets.get(key) ?? { left: burst, atMs: now };
      bucket.left = refilled(bucket, now);
      bucket.atMs = now;
      buckets.set(key, bucket);
      if (bucket.left < 1) return Math.max(1, Math.ceil((1 - bucket.left) / perSecond));
      bucket.left -= 1;
      return 0;
    },
  };
}

/** What is said to who asks too often; becomes 429 with Retry-After. */
export function tooManyFrom(waitSeconds: number, whom: string): Fault {
  return fault("RATE_LIMITED", `too many requests from ${whom}; try again in ${waitSeconds} s`, {
    details: { retryAfterSeconds: String(waitSeconds) },
  });
}
