// What counts for a workload, and why: its own spec above the policies that its labels choose, above the defaults. Pure. The one place where they are
// put together; whoever decides about a workload asks here (through ./in-force.ts) and reads no setting from the spec itself.
import type { MaintenanceWindow } from "@aether/contract/gen/aether/v2/guard_pb";
import type { PolicySettings } from "@aether/contract/gen/aether/v2/policy_pb";
import { OnNodeLost, type WorkloadSpec } from "@aether/contract/gen/aether/v2/workload_pb";
import { isInWindow } from "../guard/rails.ts";
import { toWindow } from "../guard/store.ts";
import { modeFromProto } from "../migration/mode.ts";
import type { Mode } from "../migration/state.ts";

/** One version of a policy. */
export interface PolicyVersion {
  readonly name: string;
  readonly version: number;
  readonly selector: Readonly<Record<string, string>>;
  readonly rank: number;
  readonly settings: PolicySettings;
}

/** What a spec says of it. In a spec, zero and "unspecified" mean that it says nothing. */
export type Said = Pick<WorkloadSpec, "labels" | "rpoSeconds"> & {
  readonly evacuation?:
    | Partial<
        Pick<NonNullable<WorkloadSpec["evacuation"]>, "maxFreezeMs" | "maxTimeToSafeMs" | "priority" | "onNodeLost" | "minCpuPercent">
      >
    | undefined;
};

/** A setting and where it comes from: "spec", "policy/NAME@VERSION" or "default". */
export interface Sourced<Value> {
  readonly value: Value;
  readonly source: string;
}

export interface Effective {
  /** 0: no objective. */
  readonly maxFreezeMs: Sourced<number>;
  /** 0: the notice's own time. */
  readonly maxTimeToSafeMs: Sourced<number>;
  readonly priority: Sourced<number>;
  readonly onNodeLost: Sourced<OnNodeLost>;
  /** 0: no snapshots by themselves. */
  readonly rpoSeconds: Sourced<number>;
  readonly mode: Sourced<Mode>;
  /** What a move may hold its processes down to while memory is copied, in percent of one processor; 0: never. */
  readonly minCpuPercent: Sourced<number>;
  /** Of each policy that sets some. All of them must have one open. */
  readonly windows: readonly Sourced<readonly MaintenanceWindow[]>[];
  /** policy/NAME@VERSION, the strongest first. */
  readonly policies: readonly string[];
}

export const sourceOf = ({ name, version }: Pick<PolicyVersion, "name" | "version">): string => `policy/${name}@${version}`;

/** A workload that has all of its labels is under it. */
export const isUnder = ({ selector }: Pick<PolicyVersion, "selector">, labels: Readonly<Record<string, string>>): boolean =>
  Object.entries(selector).every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value);

const labelCount = ({ selector }: PolicyVersion) => Object.keys(selector).length;

/** The strongest first: the higher rank, then more labels, then the name. */
export const byStrength = (a: PolicyVersion, b: PolicyVersion): number =>
  b.rank - a.rank || labelCount(b) - labelCount(a) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

/** @param policies one version of each name, in any order. */
export function resolve(said: Said, policies: readonly PolicyVersion[]): Effective {
  const under = policies.filter((policy) => isUnder(policy, said.labels)).sort(byStrength);
  const pick = <Value>(own: Value | undefined, read: (settings: PolicySettings) => Value | undefined, otherwise: Value): Sourced<Value> => {
    if (own !== undefined) return { value: own, source: "spec" };
    for (const policy of under) {
      const value = read(policy.settings);
      if (value !== undefined) return { value, source: sourceOf(policy) };
    }
    return { value: otherwise, source: "default" };
  };
  const { evacuation } = said;
  return {
    maxFreezeMs: pick(evacuation?.maxFreezeMs || undefined, (settings) => settings.maxFreezeMs, 0),
    maxTimeToSafeMs: pick(evacuation?.maxTimeToSafeMs || undefined, (settings) => settings.maxTimeToSafeMs, 0),
    priority: pick(evacuation?.priority || undefined, (settings) => settings.priority, 0),
    onNodeLost: pick(evacuation?.onNodeLost || undefined, (settings) => settings.onNodeLost, OnNodeLost.HOLD),
    rpoSeconds: pick(said.rpoSeconds || undefined, (settings) => settings.rpoSeconds, 0),
    mode: pick<Mode>(undefined, ({ mode }) => (mode === undefined ? undefined : modeFromProto(mode)), "auto"),
    minCpuPercent: pick(evacuation?.minCpuPercent || undefined, (settings) => settings.minCpuPercent, 0),
    windows: under
      .filter(({ settings }) => settings.windows.length > 0)
      .map((policy) => ({ value: policy.settings.windows, source: sourceOf(policy) })),
    policies: under.map(sourceOf),
  };
}

/** The policy whose windows are all shut at that time, so that nothing moves which nothing forces; undefined: it is time. */
export const shutBy = (windows: Effective["windows"], nowMs: number): string | undefined =>
  windows.find(({ value }) => !isInWindow(value.map(toWindow), nowMs))?.source;
