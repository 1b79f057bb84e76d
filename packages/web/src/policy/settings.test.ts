import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import { PolicySchema, PolicySettingsSchema } from "@aether/contract/gen/aether/v2/policy_pb";
import { OnNodeLost } from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { draftOf, ontoTheirs, policyOf, said } from "./draft.ts";
import { parseSelector, parseWindows, selectorText, settingsInWords, windowsText } from "./settings.ts";

describe("a policy", () => {
  it("says only what it sets", () => {
    const settings = create(PolicySettingsSchema, {
      maxFreezeMs: 250,
      mode: MigrationMode.PRE_COPY,
      windows: [{ from: "01:00", to: "02:00" }],
    });
    expect(settingsInWords(settings)).toEqual(["freeze at most 250 ms", "moved by pre-copy", "moves every day 01:00 to 02:00 UTC"]);
    expect(settingsInWords(create(PolicySettingsSchema, { maxFreezeMs: 0, rpoSeconds: 0 }))).toEqual([
      "no limit to the freeze",
      "no snapshots by themselves",
    ]);
    expect(settingsInWords(undefined)).toEqual([]);
  });

  it("reads labels and windows as they are written, and nothing else", () => {
    expect(parseSelector(" app=db,tier = 1 ")).toEqual({ app: "db", tier: "1" });
    expect(selectorText({ selector: { app: "db", tier: "1" } })).toBe("app=db, tier=1");
    expect(parseSelector("")).toEqual({});
    for (const half of ["app", "app=", "=db"]) expect(parseSelector(half), half).toBeUndefined();
    const windows = parseWindows("sat,sun 22:00-04:00; 01:00-02:00");
    expect(windows).toEqual([
      { days: ["sat", "sun"], from: "22:00", to: "04:00" },
      { days: [], from: "01:00", to: "02:00" },
    ]);
    expect(windowsText(create(PolicySettingsSchema, { windows: windows ?? [] }))).toBe("sat,sun 22:00-04:00; 01:00-02:00");
    expect(parseWindows("tonight")).toBeUndefined();
  });

  it("comes out of its form as it went in: 0 is set, empty is not", () => {
    const policy = create(PolicySchema, {
      name: "db",
      selector: { app: "db" },
      rank: -3,
      settings: {
        maxFreezeMs: 0,
        priority: 7,
        minCpuPercent: 50,
        onNodeLost: OnNodeLost.RESTORE,
        windows: [{ days: ["mon"], from: "22:00", to: "04:00" }],
      },
    });
    expect(create(PolicySchema, policyOf(draftOf(policy)))).toEqual(policy);
    expect(policyOf({ ...draftOf(policy), windows: "tonight" })).toBeUndefined();
  });

  it("keeps what was changed here and what was changed there, when both have changed it", () => {
    const began = draftOf(create(PolicySchema, { name: "db", rank: 1, description: "old", settings: { priority: 7, maxFreezeMs: 100 } }));
    const theirs = { ...began, rank: "2", priority: "9" };
    const mine = { ...began, priority: "8", freezeMs: "", mode: MigrationMode.PRE_COPY };
    expect(ontoTheirs(began, mine, theirs)).toEqual({ ...began, rank: "2", priority: "8", freezeMs: "", mode: MigrationMode.PRE_COPY });
    expect([said(mine, "mode"), said(mine, "freezeMs"), said(mine, "onNodeLost")]).toEqual(["pre-copy", "", ""]);
  });
});
