import { fault } from "@aether/contract";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { backoffMs, createPause, retry, sleep, until, withDeadline } from "./wait.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const listeners = (signal: AbortSignal) => {
  const counts = { added: 0, removed: 0 };
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    counts.added++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    counts.removed++;
    remove(...args);
  };
  return counts;
};

describe("sleep", () => {
  it("takes its time, and leaves no listener behind", async () => {
    const { signal } = new AbortController();
    const counts = listeners(signal);
    const startedMs = Date.now();
    const slept = sleep(1500, signal);
    await vi.runAllTimersAsync();
    await slept;
    expect(Date.now() - startedMs).toBe(1500);
    expect(counts).toEqual({ added: 1, removed: 1 });
  });

  it("rejects with the signal's reason, before or meanwhile, and leaves no timer behind", async () => {
    const reason = new Error("enough");
    await expect(sleep(1000, AbortSignal.abort(reason))).rejects.toBe(reason);
    const controller = new AbortController();
    const slept = sleep(1000, controller.signal);
    controller.abort(reason);
    await expect(slept).rejects.toBe(reason);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("does not end at once when it is asked for longer than a timer can be", async () => {
    let isOver = false;
    void sleep(2 ** 33).then(() => {
      isOver = true;
    });
    await vi.advanceTimersByTimeAsync(1_000_000);
    expect(isOver).toBe(false);
  });
});

describe("a pause", () => {
  it("ends after its time, when it is cut short, and with the signal; one that is ended while nobody waits counts for the next wait", async () => {
    const pause = createPause();
    const stopping = new AbortController();
    const counts = listeners(stopping.signal);
    const startedMs = Date.now();
    const waited = async () => {
      await pause.wait(1000, stopping.signal);
      return Date.now() - startedMs;
    };
    const first = waited();
    await vi.advanceTimersByTimeAsync(1000);
    expect(await first).toBe(1000);
    const second = waited();
    await vi.advanceTimersByTimeAsync(100);
    pause.end();
    expect(await second).toBe(1100);
    pause.end();
    expect(await waited()).toBe(1100);
    const last = waited();
    stopping.abort();
    expect(await last).toBe(1100);
    expect(await waited()).toBe(1100);
    expect(counts).toEqual({ added: 3, removed: 3 });
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("withDeadline", () => {
  it("gives back what the work gives, and its error", async () => {
    expect(await withDeadline("it", 1000, async () => 7)).toBe(7);
    await expect(withDeadline("it", 1000, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("names what took too long, even when the work ignores its signal", async () => {
    let seen: AbortSignal | undefined;
    const late = withDeadline("the dump", 500, (signal) => {
      seen = signal;
      return new Promise(() => undefined);
    });
    const refused = expect(late).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED", message: "the dump took longer than 500 ms" });
    await vi.advanceTimersByTimeAsync(500);
    await refused;
    expect(seen?.aborted).toBe(true);
  });

  it("ends with the outer signal, and does not begin when that is over", async () => {
    const outer = new AbortController();
    const counts = listeners(outer.signal);
    const ended = withDeadline("it", 5000, (signal) => sleep(4000, signal), outer.signal);
    const reason = new Error("stop");
    outer.abort(reason);
    await expect(ended).rejects.toBe(reason);
    expect(vi.getTimerCount()).toBe(0);
    expect(counts).toEqual({ added: 1, removed: 1 });
    const work = vi.fn(async () => 1);
    await expect(withDeadline("it", 5000, work, outer.signal)).rejects.toBe(reason);
    expect(work).not.toHaveBeenCalled();
  });
});

describe("backoff", () => {
  it("doubles, is capped, and jitters downwards only by its share", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 1, max: 100_000 }),
        fc.nat(2000),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (firstMs, maxMs, attempt, jitter, random) => {
          const full = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 30));
          const pause = backoffMs({ firstMs, maxMs, jitter }, attempt, () => random);
          expect(pause).toBeLessThanOrEqual(full);
          expect(pause).toBeGreaterThanOrEqual(full * (1 - jitter) - 1e-6);
        },
      ),
    );
    expect([0, 1, 2, 3].map((attempt) => backoffMs({ firstMs: 100, maxMs: 500, jitter: 0 }, attempt))).toEqual([100, 200, 400, 500]);
  });
});

describe("retry", () => {
  const backoff = { firstMs: 100, maxMs: 1000, jitter: 0, attempts: 4 };

  it("tries until it succeeds, waiting longer each time", async () => {
    const atMs: number[] = [];
    const startedMs = Date.now();
    const work = async (_signal: AbortSignal | undefined, attempt: number) => {
      atMs.push(Date.now() - startedMs);
      if (attempt < 2) throw fault("UNAVAILABLE");
      return attempt;
    };
    const tried = retry(backoff, work);
    await vi.runAllTimersAsync();
    expect(await tried).toBe(2);
    expect(atMs).toEqual([0, 100, 300]);
  });

  it("gives up after its attempts, with the last problem", async () => {
    let calls = 0;
    const tried = retry(backoff, () => Promise.reject(fault("UNAVAILABLE", `no ${++calls}`)));
    const refused = expect(tried).rejects.toMatchObject({ code: "UNAVAILABLE", message: "no 4" });
    await vi.runAllTimersAsync();
    await refused;
  });

  it("does not repeat what can never succeed, and repeats at once what the table says so", async () => {
    const never = vi.fn(() => Promise.reject(fault("WORKLOAD_NOT_FOUND")));
    await expect(retry(backoff, never)).rejects.toMatchObject({ code: "WORKLOAD_NOT_FOUND" });
    expect(never).toHaveBeenCalledTimes(1);
    const startedMs = Date.now();
    const now = retry(backoff, async (_signal, attempt) => {
      if (attempt < 3) throw fault("COMMAND_EXPIRED");
      return Date.now() - startedMs;
    });
    await vi.runAllTimersAsync();
    expect(await now).toBe(0);
  });

  it("stops in its pause when the signal aborts", async () => {
    const controller = new AbortController();
    const tried = retry(backoff, () => Promise.reject(fault("UNAVAILABLE")), controller.signal);
    const refused = expect(tried).rejects.toThrow("stop");
    await vi.advanceTimersByTimeAsync(50);
    controller.abort(new Error("stop"));
    await refused;
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("until", () => {
  it("asks again and again, and takes false, zero and null for an answer", async () => {
    for (const answer of [false, 0, null, "yes"]) {
      let asked = 0;
      const found = until("it", 100, 1000, async () => (++asked < 4 ? undefined : answer));
      await vi.runAllTimersAsync();
      expect(await found).toBe(answer);
      expect(asked).toBe(4);
    }
  });

  it("names what never came", async () => {
    const found = until("the socket", 100, 450, async () => undefined);
    const refused = expect(found).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED", message: expect.stringContaining("the socket") });
    await vi.advanceTimersByTimeAsync(450);
    await refused;
    await vi.runAllTimersAsync();
    expect(vi.getTimerCount()).toBe(0);
  });
});
