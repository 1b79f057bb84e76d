// Session tokens of IMDSv2: opaque, bound to the instance that asked, forgotten when their time is over.
import { randomBytes } from "node:crypto";
import type { Clock } from "@aether/kit";

export interface SessionTokens {
  issue(nodeId: string, ttlSeconds: number): string;
  isValid(nodeId: string, token: string): boolean;
}

/** Keeps at most `limit` tokens an instance; the oldest go first. */
export function createSessionTokens(clock: Clock, limit = 10_000): SessionTokens {
  const byToken = new Map<string, { nodeId: string; expiresAtMs: number }>();
  return {
    issue(nodeId, ttlSeconds) {
      const nowMs = clock.monotonicMs();
      for (const [token, { expiresAtMs }] of byToken) {
        if (expiresAtMs > nowMs && byToken.size < limit) break; // in the order of issue: enough to keep the table small
        byToken.delete(token);
      }
      const token = `${randomBytes(40).toString("base64url")}==`;
      byToken.set(token, { nodeId, expiresAtMs: nowMs + ttlSeconds * 1000 });
      return token;
    },
    isValid(nodeId, token) {
      const found = byToken.get(token);
      return found !== undefined && found.nodeId === nodeId && clock.monotonicMs() < found.expiresAtMs;
    },
  };
}
