// The look at every workload, again and again: who is told what, and when.
import type { Inspection } from "@aether/engine";
import { createManualClock, silentLogger, until } from "@aether/kit";
import { expect, it } from "vitest";
import { startPreflights } from "./preflights.ts";

const inspection = (codes: readonly string[], memoryBytes: number): Inspection => ({
  report: {
    needs: { cpuFeatures: [] },
    blockers: codes.map((code) => ({ code, message: "", mend: "", subject: "" })),
    warnings: [],
    memoryBytes,
    processCount: 1,
    tcpEstablished: 0,
    fileBytes: 0,
    chosenMode: "pre-copy",
    modeReason: "",
    forecast: {
      freezeMs: 1,
      totalMs: 1,
      memoryBytes,
      freezeBytes: 0,
      dirtyBytesPerSecond: 0,
      linkBytesPerSecond: 1,
      basis: "",
    },
  },
  tookMs: 1,
  cpuMs: 1,
});

it("an answer is told when it has changed, and now and then as a sign that it is still true; one that cannot be had holds up nobody", async () => {
  const clock = createManualClock();
  const looks = { db: 0, broken: 0 };
  let blockers: string[] = [];
  let running = ["broken", "db"];
  const preflights = startPreflights({
    clock,
    everyMs: 20,
    log: silentLogger,
    running: () => running,
    engine: {
      async inspect(workload) {
        looks[workload as "db" | "broken"]++;
        if (workload === "broken") throw new Error("it has just ended");
        return inspection(blockers, looks.db); // its size changes all the time, and is no news
      },
    },
  });
  const lookedAt = async (count: number) =>
    until("looks", 5, 2000, async () => {
      clock.advance(20);
      return looks.db >= count ? true : undefined;
    });
  try {
    await lookedAt(1);
    await until("the answer", 5, 2000, async () => preflights.newest("db"));
    expect(preflights.news("db")?.report?.blockers).toEqual([]);
    await lookedAt(looks.db + 3);
    expect(preflights.news("db")).toBeUndefined();
    expect(preflights.newest("broken")).toBeUndefined();

    blockers = ["IO_URING_IN_USE"];
    await lookedAt(looks.db + 2);
    expect(preflights.news("db")?.report?.blockers).toMatchObject([{ code: "IO_URING_IN_USE" }]);
    expect(preflights.news("db")).toBeUndefined();

    clock.advance(240_000);
    await lookedAt(looks.db + 2);
    expect(preflights.news("db")).toBeDefined();

    running = [];
    await until("it to be forgotten", 5, 2000, async () => (preflights.newest("db") === undefined ? true : undefined));
  } finally {
    await preflights.stop();
  }
});
