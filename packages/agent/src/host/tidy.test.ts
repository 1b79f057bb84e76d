import { silentLogger } from "@aether/kit";
import { describe, expect, it, vi } from "vitest";
import { startTidy } from "./tidy.ts";

const megabyte = 1024 * 1024;

describe("tidying of memory", () => {
  it("happens when there is something to gain and nothing moves, and not again before there is more", async () => {
    let bytes = 20 * megabyte;
    let isBusy = true;
    let looks = 0;
    const collect = vi.fn(() => {
      bytes = 18 * megabyte;
    });
    const heapBytes = () => {
      looks++;
      return bytes;
    };
    const tidy = startTidy({ isBusy: async () => isBusy, log: silentLogger, everyMs: 1, heapBytes, collect });
    const later = () => {
      const until = looks + 3;
      return expect.poll(() => looks).toBeGreaterThan(until);
    };
    await later();
    expect(collect).not.toHaveBeenCalled();
    isBusy = false;
    await expect.poll(() => collect.mock.calls.length).toBe(1);
    await later();
    bytes = 19 * megabyte;
    await later();
    expect(collect).toHaveBeenCalledTimes(1);
    bytes = 21 * megabyte;
    await expect.poll(() => collect.mock.calls.length).toBe(2);
    await tidy.stop();
  });

  it("really collects", async () => {
    const kept: (readonly object[] | undefined)[] = [Array.from({ length: 200_000 }, (_, i) => ({ i }))];
    const done: string[] = [];
    const log = { ...silentLogger, debug: (_: unknown, text: string) => void done.push(text) } as typeof silentLogger;
    const tidy = startTidy({ isBusy: async () => false, log, everyMs: 1 });
    kept[0] = undefined;
    await expect.poll(() => done).toContain("memory.tidied");
    await tidy.stop();
  });
});
