// Deadlines, pauses and retries. Each takes an AbortSignal last and leaves no timer behind.
import { Fault, fault } from "@aether/contract";

/** Node fires a longer timer at once; nobody waits 24 days on purpose. */
const longestTimerMs = 2 ** 31 - 1;

/** Resolves after `ms` (at most 24 days); rejects with the signal's reason when it aborts first. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const done = () => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    };
    const aborted = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(done, Math.min(ms, longestTimerMs));
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

/** A pause between two looks that can be cut short. One that is ended while nobody waits makes the next wait end at once. */
export interface Pause {
  /** Ends after `ms`, with `end`, or with the signal; never rejects. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
  end(): void;
}

export function createPause(): Pause {
  let isEnded = false;
  let wake: (() => void) | undefined;
  return {
    async wait(ms, signal) {
      if (!isEnded && !signal.aborted)
        await new Promise<void>((resolve) => {
          const done = () => {
            clearTimeout(timer);
            signal.removeEventListener("abort", done);
            resolve();
          };
          const timer = setTimeout(done, Math.min(ms, longestTimerMs));
          signal.addEventListener("abort", done, { once: true });
          wake = done;
        });
      isEnded = false;
      wake = undefined;
    },
    end() {
      isEnded = true;
      wake?.();
    },
  };
}

/**
 * Runs `work` with a signal that aborts after `deadlineMs` with DEADLINE_EXCEEDED naming `what`, or when the outer signal aborts.
 * Rejects at the deadline even when `work` ignores its signal; does not begin when the outer signal has aborted already.
 */
export async function withDeadline<T>(
  what: string,
  deadlineMs: number,
  work: (signal: AbortSignal) => Promise<T>,
  outer?: AbortSignal,
): Promise<T> {
  outer?.throwIfAborted();
  const controller = new AbortController();
  const expire = () => controller.abort(fault("DEADLINE_EXCEEDED", `${what} took longer than ${deadlineMs} ms`));
  const timer = setTimeout(expire, Math.min(deadlineMs, longestTimerMs));
  const follow = () => controller.abort(outer?.reason);
  outer?.addEventListener("abort", follow, { once: true });
  try {
    return await Promise.race([
      work(controller.signal),
      new Promise<never>((_, reject) => {
        const refuse = () => reject(controller.signal.reason);
        if (controller.signal.aborted) refuse();
        else controller.signal.addEventListener("abort", refuse, { once: true });
      }),
    ]);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", follow);
  }
}

export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
  /** 0 to 1: the share of each pause that is random. Default 0.5. */
  readonly jitter?: number;
}

/** The pause before attempt number `attempt` (0 is the first retry): exponential, capped, with jitter. */
export function backoffMs(backoff: Backoff, attempt: number, random: () => number = Math.random): number {
  const full = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(attempt, 30));
  const jitter = backoff.jitter ?? 0.5;
  return full * (1 - jitter * random());
}

/** Calls `work` until it succeeds, a fault that never heals is thrown, `attempts` are used up, or the signal aborts. */
export async function retry<T>(
  options: Backoff & { readonly attempts: number },
  work: (signal: AbortSignal | undefined, attempt: number) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work(signal, attempt);
    } catch (caught) {
      const problem = Fault.from(caught);
      if (signal?.aborted || problem.row.retry === "never" || attempt + 1 >= options.attempts) throw problem;
      await sleep(problem.row.retry === "now" ? 0 : backoffMs(options, attempt), signal);
    }
  }
}

/** Polls `probe` every `everyMs` until it returns something else than undefined; DEADLINE_EXCEEDED naming `what` otherwise. */
export function until<T>(
  what: string,
  everyMs: number,
  deadlineMs: number,
  probe: () => Promise<T | undefined>,
  signal?: AbortSignal,
): Promise<T> {
  return withDeadline(
    what,
    deadlineMs,
    async (inner) => {
      for (;;) {
        const found = await probe();
        if (found !== undefined) return found;
        await sleep(everyMs, inner);
      }
    },
    signal,
  );
}
