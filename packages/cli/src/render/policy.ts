// Policies for people.
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import type { Policy } from "@aether/contract/gen/aether/v2/policy_pb";
import { OnNodeLost } from "@aether/contract/gen/aether/v2/workload_pb";
import { renderFacts, renderTable } from "./table.ts";
import { duration, instant, word } from "./units.ts";

const selectorOf = ({ selector }: Policy) =>
  Object.entries(selector)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(",") || "every workload";

function settingsOf({ settings }: Policy): [name: string, value: string][] {
  if (settings === undefined) return [];
  const { maxFreezeMs, maxTimeToSafeMs, priority, onNodeLost, rpoSeconds, mode, windows, minCpuPercent } = settings;
  const time = (ms: number) => (ms === 0 ? "none" : duration(ms));
  const found: [string, string | undefined][] = [
    ["max freeze", maxFreezeMs === undefined ? undefined : time(maxFreezeMs)],
    ["max time to safe", maxTimeToSafeMs === undefined ? undefined : time(maxTimeToSafeMs)],
    ["priority", priority?.toString()],
    ["on node lost", onNodeLost === undefined ? undefined : word(OnNodeLost, onNodeLost)],
    ["rpo", rpoSeconds === undefined ? undefined : time(rpoSeconds * 1000)],
    ["mode", mode === undefined ? undefined : word(MigrationMode, mode)],
    ["min cpu", minCpuPercent === undefined ? undefined : minCpuPercent === 0 ? "never held down" : `${minCpuPercent} %`],
    [
      "windows",
      windows.map(({ days, from, to }) => `${days.length === 0 ? "daily" : days.join(", ")} ${from} to ${to} UTC`).join("; ") || undefined,
    ],
  ];
  return found.filter((each): each is [string, string] => each[1] !== undefined);
}

export const renderPolicies = (policies: readonly Policy[], width: number, empty: string): string =>
  renderTable(
    policies,
    [
      { title: "NAME", cell: (policy) => policy.name },
      { title: "VERSION", align: "right", cell: (policy) => String(policy.version) },
      { title: "FOR", cell: selectorOf },
      { title: "RANK", align: "right", cell: (policy) => String(policy.rank) },
      {
        title: "SETS",
        cell: (policy) =>
          settingsOf(policy)
            .map((setting) => setting.join(" "))
            .join(", "),
      },
      { title: "WORKLOADS", align: "right", cell: (policy) => String(policy.workloads.length) },
      { title: "CHANGED", cell: (policy) => `${instant(policy.changedAt)} by ${policy.changedBy}` },
    ],
    width,
    empty,
  );

export const describePolicy = (policy: Policy): string =>
  renderFacts([
    ["policy", `${policy.name}, version ${policy.version}`],
    ["why", policy.description],
    ["for", selectorOf(policy)],
    ["rank", String(policy.rank)],
    ...settingsOf(policy),
    ["changed", `${instant(policy.changedAt)} by ${policy.changedBy}`],
    ["workloads", policy.workloads.join(", ") || "none"],
  ]);
