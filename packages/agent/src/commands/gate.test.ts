import { describe, expect, it } from "vitest";
import { type GateQuestion, refusalOf } from "./gate.ts";

const seen = {
  highestEpoch: (name: string) => (name === "db" ? 4 : 0),
  highestFence: (id: string) => (id === "mig-1" ? 9 : 0),
  highestTerm: () => 7,
};
const question: GateQuestion = {
  workload: "db",
  epoch: 4,
  migrationId: "mig-1",
  fence: 9,
  term: 7,
  validForMs: 1_000,
  waitedMs: 10,
  isEpochBound: true,
};

describe("the gate", () => {
  it("lets the present epoch and fence through, and newer ones", () => {
    expect(refusalOf(question, seen)).toBeUndefined();
    expect(refusalOf({ ...question, epoch: 5, fence: 10 }, seen)).toBeUndefined();
    expect(refusalOf({ ...question, workload: "new", epoch: 1, migrationId: "", fence: 0 }, seen)).toBeUndefined();
  });

  it("refuses what is over", () => {
    expect(refusalOf({ ...question, epoch: 3 }, seen)?.code).toBe("STALE_EPOCH");
    expect(refusalOf({ ...question, fence: 8 }, seen)?.code).toBe("STALE_FENCE");
    expect(refusalOf({ ...question, waitedMs: 1_001 }, seen)?.code).toBe("COMMAND_EXPIRED");
  });

  it("lets cleaning up through in an old epoch, but not from an old control plane", () => {
    expect(refusalOf({ ...question, epoch: 3, isEpochBound: false }, seen)).toBeUndefined();
    expect(refusalOf({ ...question, epoch: 3, fence: 8, isEpochBound: false }, seen)?.code).toBe("STALE_FENCE");
  });

  it("refuses a control plane that another one took over from, whatever it asks for", () => {
    expect(refusalOf({ ...question, term: 6, migrationId: "", workload: "new", isEpochBound: false }, seen)?.code).toBe("STALE_TERM");
    expect(refusalOf({ ...question, term: 8 }, seen)).toBeUndefined();
    // One that has its database for itself has no terms.
    expect(refusalOf({ ...question, term: 0 }, seen)).toBeUndefined();
  });

  it("without a duration, waits for ever", () => {
    expect(refusalOf({ ...question, validForMs: undefined, waitedMs: 1e9 }, seen)).toBeUndefined();
  });
});
