// Token buckets: a burst at once, then a steady rate. Per token and per address, in memory: a restart forgives.
import { isIPv6 } from "node:net";
import { type Fault, fault } from "@aether/contract";

export interface RateLimit {
  /** Takes one of a token's or an address's; answers 0 when it was there, else the seconds until it will be. */
  take(who: string): number;
}

interface Bucket {
  left: number;
  atMs: number;
}

/** So many are remembered; who comes from ever new addresses must not fill the memory, nor make each look a long one. */
const mostBuckets = 10_000;

export function createRateLimit(perSecond: number, burst: number, monotonicMs: () => number): RateLimit {
  /** In the order of their last use. */
  const buckets = new Map<string, Bucket>();
  return {
    take(who) {
      const now = monotonicMs();
      const key = subscriberOf(who);
      const bucket = buckets.get(key) ?? { left: burst, atMs: now };
      bucket.left = Math.min(burst, bucket.left + ((now - bucket.atMs) / 1000) * perSecond);
      bucket.atMs = now;
      buckets.delete(key);
      buckets.set(key, bucket);
      const [oldest] = buckets.keys();
      if (buckets.size > mostBuckets && oldest !== undefined) buckets.delete(oldest);
      if (bucket.left < 1) return Math.max(1, Math.ceil((1 - bucket.left) / perSecond));
      bucket.left -= 1;
      return 0;
    },
  };
}

/** Of IPv6 a subscriber has at least a whole /64 (RFC 6177), and could come from another address each time. */
function subscriberOf(who: string): string {
  if (!isIPv6(who)) return who;
  const [before = "", behind] = who.split("::");
  const first = before.split(":").filter(Boolean);
  const left = behind === undefined ? 0 : 8 - first.length - behind.split(":").filter(Boolean).length;
  return [...first, ...Array<string>(left).fill("0"), ...(behind ?? "").split(":")].slice(0, 4).join(":");
}

/** What is said to who asks too often; becomes 429 with Retry-After. */
export function tooManyFrom(waitSeconds: number, whom: string): Fault {
  return fault("RATE_LIMITED", `too many requests from ${whom}; try again in ${waitSeconds} s`, {
    details: { retryAfterSeconds: String(waitSeconds) },
  });
}
