import { PolicySettingsSchema } from "@aether/contract/gen/aether/v2/policy_pb";
import { OnNodeLost, WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { preview } from "./preview.ts";
import { byStrength, isUnder, type PolicyVersion, resolve, shutBy } from "./resolve.ts";
import { describeEffective } from "./settings.ts";

const policy = (
  name: string,
  settings: MessageInitShape<typeof PolicySettingsSchema>,
  over: Partial<Omit<PolicyVersion, "settings">> = {},
): PolicyVersion => ({ name, version: 1, selector: {}, rank: 0, ...over, settings: create(PolicySettingsSchema, settings) });
const spec = (over: MessageInitShape<typeof WorkloadSpecSchema> = {}) =>
  create(WorkloadSpecSchema, { name: "db", labels: { tier: "db", env: "prod" }, ...over });

describe("what counts for a workload", () => {
  it("is the default without anything", () => {
    const effective = resolve(spec(), []);
    expect(describeEffective(effective).map(({ name, value, source }) => [name, value, source])).toEqual([
      ["max_freeze_ms", "none", "default"],
      ["max_time_to_safe_ms", "none", "default"],
      ["priority", "0", "default"],
      ["on_node_lost", "hold", "default"],
      ["rpo_seconds", "none", "default"],
      ["mode", "auto", "default"],
      ["min_cpu_percent", "never held down", "default"],
      ["windows", "always", "default"],
    ]);
  });

  it("is the spec's word above every policy's, setting by setting", () => {
    const strong = policy("strong", { priority: 90, rpoSeconds: 60, onNodeLost: OnNodeLost.RESTORE }, { rank: 1_000, version: 3 });
    expect(resolve(spec({ rpoSeconds: 30, evacuation: { onNodeLost: OnNodeLost.HOLD } }), [strong])).toMatchObject({
      priority: { value: 90, source: "policy/strong@3" },
      rpoSeconds: { value: 30, source: "spec" },
      onNodeLost: { value: OnNodeLost.HOLD, source: "spec" },
    });
  });

  it("is a policy's zero too: it takes away what a weaker one sets", () => {
    const weak = policy("weak", { maxFreezeMs: 500, rpoSeconds: 60 });
    const none = policy("none", { maxFreezeMs: 0 }, { rank: 1 });
    expect(resolve(spec(), [weak, none])).toMatchObject({
      maxFreezeMs: { value: 0, source: "policy/none@1" },
      rpoSeconds: { value: 60, source: "policy/weak@1" },
    });
  });

  it.each([
    ["the higher rank", policy("z", { priority: 1 }, { rank: 1 }), policy("a", { priority: 2 }, { selector: { tier: "db", env: "prod" } })],
    ["more labels at the same rank", policy("z", { priority: 1 }, { selector: { tier: "db" } }), policy("a", { priority: 2 })],
    ["the first name of equals", policy("a", { priority: 1 }), policy("b", { priority: 2 })],
  ])("follows %s", (_, wins, loses) => {
    expect(resolve(spec(), [loses, wins]).priority).toEqual({ value: 1, source: `policy/${wins.name}@1` });
    expect(resolve(spec(), [wins, loses])).toEqual(resolve(spec(), [loses, wins]));
  });

  it("is not what policies with other labels say, nor what a prototype has", () => {
    expect(resolve(spec(), [policy("web", { priority: 5 }, { selector: { tier: "web" } })]).policies).toEqual([]);
    expect(isUnder({ selector: { toString: "x" } }, {})).toBe(false);
    expect(isUnder({ selector: { tier: "db" } }, spec().labels)).toBe(true);
  });

  it("waits until each policy with windows has one open", () => {
    const [day, night] = [
      policy("day", { windows: [{ from: "08:00", to: "20:00" }] }),
      policy("night", { windows: [{ from: "19:00", to: "04:00" }] }),
    ];
    const { windows } = resolve(spec(), [day, night, policy("other", { priority: 1 })]);
    const at = (time: string) => shutBy(windows, Date.parse(`2026-01-02T${time}:00Z`));
    expect([at("10:00"), at("19:30"), at("22:00")]).toEqual(["policy/night@1", undefined, "policy/day@1"]);
    expect(shutBy([], 0)).toBeUndefined();
  });

  it("is the same whatever the order, and the first of the strongest that says something", () => {
    const label = fc.constantFrom("a", "b");
    const some = fc.uniqueArray(
      fc.record({ name: fc.stringMatching(/^[a-z]{1,3}$/), rank: fc.integer({ min: -2, max: 2 }), selector: fc.dictionary(label, label) }),
      { maxLength: 8, selector: ({ name }) => name },
    );
    fc.assert(
      fc.property(
        some,
        fc.array(fc.option(fc.integer({ min: 0, max: 100 }), { nil: undefined }), { minLength: 8, maxLength: 8 }),
        fc.dictionary(label, label),
        fc.infiniteStream(fc.nat()),
        (drafts, priorities, labels, order) => {
          const policies = drafts.map((draft, i) =>
            policy(draft.name, priorities[i] === undefined ? {} : { priority: priorities[i] }, draft),
          );
          const shuffled = [...policies]
            .map((each) => ({ each, key: order.next().value ?? 0 }))
            .sort((a, b) => a.key - b.key)
            .map(({ each }) => each);
          const said = spec({ labels });
          const effective = resolve(said, policies);
          expect(resolve(said, shuffled)).toEqual(effective);
          const sayers = policies.filter((each) => isUnder(each, labels) && each.settings.priority !== undefined);
          const strongest = sayers.find((each) => sayers.every((other) => byStrength(each, other) <= 0));
          expect(effective.priority).toEqual(
            strongest === undefined
              ? { value: 0, source: "default" }
              : { value: strongest.settings.priority, source: `policy/${strongest.name}@1` },
          );
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("a preview", () => {
  const workloads = [
    { name: "db", state: "running", said: spec() },
    { name: "web", state: "running", said: spec({ labels: { tier: "web" } }) },
  ];
  it("lists what changes, and nothing else", () => {
    const before = policy("databases", { priority: 10, rpoSeconds: 60 }, { selector: { tier: "db" } });
    const { effects, warnings } = preview(
      { ...before, version: 2, settings: create(PolicySettingsSchema, { priority: 20 }) },
      [before],
      workloads,
    );
    expect(effects.map(({ workload, setting, before: was, after }) => [workload, setting, was, after])).toEqual([
      ["db", "priority", "10", "20"],
      ["db", "rpo_seconds", "60 s", "none"],
    ]);
    expect(warnings).toEqual([]);
  });
  it("warns of what does nothing, and of what can do harm", () => {
    const warned = (next: PolicyVersion, before: PolicyVersion[] = []) => preview(next, before, workloads).warnings.join("\n");
    expect(warned(policy("none", { priority: 1 }, { selector: { tier: "x" } }))).toContain("no workload has its labels");
    expect(warned(policy("weak", { priority: 1 }, { rank: -1 }), [policy("all", { priority: 2 })])).toContain("does nothing");
    expect(warned(policy("restore", { onNodeLost: OnNodeLost.RESTORE }))).toContain("2 of its workloads have no rpo");
    expect(warned(policy("late", { mode: 3 }))).toContain("post-copy");
  });
});
