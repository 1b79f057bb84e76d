import { fault } from "@aether/contract";
import { describe, expect, it, vi } from "vitest";
import { createStopStack, runUntilSignalled } from "./lifecycle.ts";
import { type Logger, silentLogger } from "./log.ts";
import { sleep } from "./wait.ts";

describe("a stop stack", () => {
  it("stops in the reverse order, once", async () => {
    const stopped: string[] = [];
    const stack = createStopStack(silentLogger);
    stack.add("database", { stop: async () => void stopped.push("database") });
    stack.add("server", () => void stopped.push("server"));
    stack.add("stream", async () => void stopped.push("stream"));
    await stack.stop();
    await stack.stop();
    expect(stopped).toEqual(["stream", "server", "database"]);
  });

  it("goes on after a failure or a hang, says which, and reports the first one", async () => {
    vi.useFakeTimers();
    const said: unknown[] = [];
    const log = { ...silentLogger, error: (facts: { part: string }) => said.push(facts.part) } as unknown as Logger;
    const stopped: string[] = [];
    const stack = createStopStack(log);
    stack.add("first", () => void stopped.push("first"));
    stack.add("hangs", () => new Promise<void>(() => undefined));
    stack.add("fails", () => {
      throw new Error("will not");
    });
    const stopping = expect(stack.stop()).rejects.toThrow("will not");
    await vi.advanceTimersByTimeAsync(10_000);
    await stopping;
    expect(stopped).toEqual(["first"]);
    expect(said).toEqual(["fails", "hangs"]);
    vi.useRealTimers();
  });
});

describe("runUntilSignalled", () => {
  const handlers = () => [process.listenerCount("SIGTERM"), process.listenerCount("SIGINT")];

  it.each(["SIGTERM", "SIGINT"] as const)("stops the daemon on %s and leaves no handler behind", async (name) => {
    const before = handlers();
    let stops = 0;
    let seen: AbortSignal | undefined;
    const running = runUntilSignalled(silentLogger, async (signal) => {
      seen = signal;
      return { stop: async () => void stops++ };
    });
    await sleep(5);
    expect([stops, seen?.aborted]).toEqual([0, false]);
    process.emit(name, name);
    await running;
    expect([stops, seen?.aborted]).toEqual([1, true]);
    expect(handlers()).toEqual(before);
  });

  it("ends with the outer signal, also when that is over already", async () => {
    const controller = new AbortController();
    const stop = vi.fn(async () => undefined);
    const running = runUntilSignalled(silentLogger, async () => ({ stop }), controller.signal);
    await sleep(5);
    controller.abort();
    await running;
    await runUntilSignalled(silentLogger, async () => ({ stop }), controller.signal);
    expect(stop).toHaveBeenCalledTimes(2);
  });

  it("is not a failure to be stopped while starting", async () => {
    const running = runUntilSignalled(silentLogger, async (signal) => {
      await sleep(60_000, signal);
      return { stop: async () => undefined };
    });
    await sleep(5);
    process.emit("SIGTERM", "SIGTERM");
    await running;
  });

  it("passes on why it did not start or did not stop, and leaves no handler behind", async () => {
    const before = handlers();
    await expect(runUntilSignalled(silentLogger, () => Promise.reject(fault("LOCKED")))).rejects.toMatchObject({ code: "LOCKED" });
    const running = runUntilSignalled(silentLogger, async () => ({ stop: () => Promise.reject(fault("DISK_FULL")) }));
    await sleep(5);
    process.emit("SIGTERM", "SIGTERM");
    await expect(running).rejects.toMatchObject({ code: "DISK_FULL" });
    expect(handlers()).toEqual(before);
  });

  it("ends the process at a second signal", async () => {
    const exit = vi.spyOn(process, "exit").mockImplementation(() => undefined as never);
    const running = runUntilSignalled(silentLogger, async () => ({ stop: () => sleep(50) }));
    await sleep(5);
    process.emit("SIGINT", "SIGINT");
    process.emit("SIGINT", "SIGINT");
    expect(exit).toHaveBeenCalledWith(130);
    await running;
    exit.mockRestore();
  });
});
