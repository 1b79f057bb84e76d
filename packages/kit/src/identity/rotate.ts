// An identity that renews itself at half of its life. What is on disk is good after a restart; while renewal fails the old certificate
// stays in use and the log says so; listeners hear of a new one only after it is stored, so that a crash never loses what peers have seen.
import { X509Certificate } from "node:crypto";
import { Fault, fault } from "@aether/contract";
import { z } from "zod";
import { type Clock, systemClock } from "../clock.ts";
import { readTextIfThere, writeFileAtomic } from "../files.ts";
import type { Stoppable } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import { type Backoff, backoffMs, sleep } from "../wait.ts";
import { backdateMs } from "./authority.ts";
import type { IdentityMaterial, IdentitySource } from "./source.ts";

export interface RotatingIdentityOptions {
  /** What an earlier run stored; undefined on the first. */
  readonly load: () => Promise<IdentityMaterial | undefined>;
  /** Must be durable and in one step; `identityFile` is. */
  readonly store: (material: IdentityMaterial) => Promise<void>;
  /** Asks the authority. `current` is what was used until now (perhaps expired), undefined on the first call. */
  readonly renew: (current: IdentityMaterial | undefined, signal: AbortSignal) => Promise<IdentityMaterial>;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Between failed renewals. Default 1 s to 60 s. */
  readonly backoff?: Backoff;
  /** For tests. Default `sleep`. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly random?: () => number;
}

export interface RotatingIdentity extends IdentitySource, Stoppable {
  /**
   * Loads, or asks for, the first certificate and begins to renew. Resolves when `current()` is valid. A renewal that can never succeed
   * (a fault whose retry is "never", such as JOIN_TOKEN_INVALID) is thrown; others are repeated until the signal aborts.
   */
  start(signal: AbortSignal): Promise<void>;
  /** Throws UNAVAILABLE before `start` has resolved. */
  current(): IdentityMaterial;
  /** Now instead of at half life; throws what `renew` or `store` throws, and keeps the old one then. */
  renewNow(signal: AbortSignal): Promise<IdentityMaterial>;
}

/** Half of the life since the issue (certificates are backdated), earlier by up to a tenth of it: a fleet must not ask in one moment. */
export function renewalDueAtMs(material: IdentityMaterial, random: () => number = Math.random): number {
  const validFromMs = new X509Certificate(material.certificateChainPem).validFromDate.getTime();
  const issuedAtMs = validFromMs + backdateMs < material.expiresAtMs ? validFromMs + backdateMs : validFromMs;
  const halfMs = (material.expiresAtMs - issuedAtMs) / 2;
  return issuedAtMs + halfMs * (1 - 0.1 * random());
}

/** Makes one; nothing happens before `start`. */
export function createRotatingIdentity(options: RotatingIdentityOptions): RotatingIdentity {
  const { log, clock = systemClock, pause = sleep, random = Math.random, backoff = { firstMs: 1000, maxMs: 60_000 } } = options;
  const listeners = new Set<(material: IdentityMaterial) => void>();
  const stopping = new AbortController();
  let material: IdentityMaterial | undefined;
  let renewing: Promise<IdentityMaterial> | undefined;
  let loop: Promise<void> = Promise.resolve();

  const isValid = (candidate: IdentityMaterial | undefined): candidate is IdentityMaterial =>
    candidate !== undefined && candidate.expiresAtMs > clock.nowMs();

  async function renewOnce(signal: AbortSignal): Promise<IdentityMaterial> {
    const next = await options.renew(material, signal);
    if (!isValid(next)) throw fault("IDENTITY_REJECTED", "the authority sent a certificate that is expired by this machine's clock");
    await options.store(next);
    const isFirst = material === undefined;
    material = next;
    log.info({ spiffeId: next.spiffeId, expiresAt: new Date(next.expiresAtMs).toISOString() }, "identity.renewed");
    if (!isFirst) for (const listener of listeners) tell(listener, next);
    return next;
  }

  function tell(listener: (material: IdentityMaterial) => void, next: IdentityMaterial): void {
    try {
      listener(next);
    } catch (cause) {
      log.error({ err: cause }, "identity.listener_failed"); // one server that cannot take it must not keep the others from it
    }
  }

  /** Callers at the same time share one request: the authority must not see two. */
  function renewShared(signal: AbortSignal): Promise<IdentityMaterial> {
    renewing ??= renewOnce(signal).finally(() => {
      renewing = undefined;
    });
    return renewing;
  }

  async function renewUntilDone(signal: AbortSignal, isFirst: boolean): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await renewShared(signal);
        return;
      } catch (caught) {
        signal.throwIfAborted();
        const problem = Fault.from(caught);
        if (isFirst && problem.row.retry === "never") throw problem;
        const retryInMs = Math.round(backoffMs(backoff, attempt, random));
        const isExpired = material !== undefined && !isValid(material);
        const facts = { code: problem.code, reason: problem.message, retryInMs, expiresAtMs: material?.expiresAtMs };
        if (isExpired) log.error(facts, "identity.expired: renewal keeps failing, peers refuse this node");
        else log.warn(facts, "identity.renewal_failed: the old certificate stays in use");
        await pause(retryInMs, signal);
      }
    }
  }

  async function renewForEver(signal: AbortSignal): Promise<void> {
    let earliestMs = 0;
    while (material !== undefined) {
      const dueAtMs = Math.max(renewalDueAtMs(material, random), earliestMs);
      // In steps: a suspended machine or a corrected clock is noticed within half a minute.
      while (clock.nowMs() < dueAtMs) await pause(Math.min(dueAtMs - clock.nowMs(), 30_000), signal);
      await renewUntilDone(signal, false);
      // Where the authority's clock is far behind, a fresh certificate is past its half already: do not ask again and again for it.
      earliestMs = clock.nowMs() + (material.expiresAtMs - clock.nowMs()) / 4;
    }
  }

  return {
    async start(outer) {
      const signal = AbortSignal.any([outer, stopping.signal]);
      const loaded = await options.load();
      if (loaded !== undefined) material = loaded;
      if (!isValid(loaded)) await renewUntilDone(signal, true);
      loop = renewForEver(signal).catch((caught: unknown) => {
        if (!signal.aborted) log.error({ err: caught }, "identity.rotation_ended");
      });
    },
    current() {
      if (material === undefined) throw fault("UNAVAILABLE", "this process has no identity yet");
      return material;
    },
    onRotate(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    renewNow: renewShared,
    async stop() {
      stopping.abort(fault("CANCELLED", "identity rotation stopped"));
      await loop;
    },
  };
}

const stored = z.strictObject({
  spiffeId: z.string(),
  certificateChainPem: z.string(),
  privateKeyPem: z.string(),
  trustBundlePem: z.string(),
  expiresAtMs: z.number(),
});

/** `load` and `store` for one file (JSON, 0600, replaced in one step). `load` throws CONFIG_INVALID when the file is damaged. */
export function identityFile(path: string): Pick<RotatingIdentityOptions, "load" | "store"> {
  return {
    async load() {
      const text = await readTextIfThere(path);
      if (text === undefined) return undefined;
      try {
        return stored.parse(JSON.parse(text));
      } catch (cause) {
        throw fault("CONFIG_INVALID", `${path} is not an identity`, { cause, hint: "Remove the file and join again with a new token." });
      }
    },
    store: (material) => writeFileAtomic(path, `${JSON.stringify(material)}\n`),
  };
}
