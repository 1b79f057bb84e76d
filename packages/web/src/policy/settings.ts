// What a policy sets, in words, and from the words of a form. Pure.
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import type { Policy, PolicySettings } from "@aether/contract/gen/aether/v2/policy_pb";
import { OnNodeLost } from "@aether/contract/gen/aether/v2/workload_pb";
import { duration, words } from "../format/units.ts";

/** Only what is set, in the order in which it matters. */
export function settingsInWords(settings: PolicySettings | undefined): string[] {
  if (settings === undefined) return [];
  const { maxFreezeMs, maxTimeToSafeMs, priority, onNodeLost, rpoSeconds, mode, windows, minCpuPercent } = settings;
  const said: (string | undefined)[] = [
    timed(maxFreezeMs, "freeze at most", "no limit to the freeze"),
    timed(maxTimeToSafeMs, "safe within", "safe within the notice's own time"),
    timed(rpoSeconds === undefined ? undefined : rpoSeconds * 1000, "a snapshot every", "no snapshots by themselves"),
    onNodeLost === undefined ? undefined : `when its node is lost: ${words(OnNodeLost[onNodeLost])}`,
    mode === undefined ? undefined : `moved by ${modeWords(mode)}`,
    priority === undefined ? undefined : `priority ${priority}`,
    minCpuPercent === undefined
      ? undefined
      : minCpuPercent === 0
        ? "never held down while it is copied"
        : `held down to ${minCpuPercent} % of one processor while it is copied, if need be`,
    ...windows.map(({ days, from, to }) => `moves ${days.length === 0 ? "every day" : days.join(", ")} ${from} to ${to} UTC`),
  ];
  return said.filter((each) => each !== undefined);
}

/** A policy may say 0 to undo what a weaker one says. */
const timed = (ms: number | undefined, words: string, zero: string): string | undefined =>
  ms === undefined ? undefined : ms === 0 ? zero : `${words} ${duration(ms)}`;

/** "pre-copy" */
export const modeWords = (mode: MigrationMode): string => words(MigrationMode[mode]).replaceAll(" ", "-");

const names: Readonly<Record<string, string>> = {
  max_freeze_ms: "longest freeze",
  max_time_to_safe_ms: "safe within",
  rpo_seconds: "a snapshot every",
  on_node_lost: "when its node is lost",
  mode: "moved by",
  min_cpu_percent: "held down while copied",
};

/** A setting's name for people. */
export const settingName = (name: string): string => names[name] ?? name.replaceAll("_", " ");

export const selectorText = ({ selector }: Pick<Policy, "selector">): string =>
  Object.entries(selector)
    .map(([key, value]) => `${key}=${value}`)
    .join(", ");

/** "app=db, tier=1": undefined where a part is no such pair. */
export function parseSelector(text: string): Record<string, string> | undefined {
  const parts = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  const pairs = parts.map((part) => /^([^=\s]+)\s*=\s*(\S+)$/.exec(part));
  if (pairs.some((pair) => pair === null)) return undefined;
  return Object.fromEntries(pairs.map((pair) => [pair?.[1] ?? "", pair?.[2] ?? ""]));
}

/** "sat,sun 22:00-04:00; 01:00-02:00": undefined where a part is no window. */
export function parseWindows(text: string): { days: string[]; from: string; to: string }[] | undefined {
  const parts = text
    .split(";")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  const found = parts.map((part) => /^(?:([a-z,]+)\s+)?(\d\d:\d\d)\s*-\s*(\d\d:\d\d)$/.exec(part));
  if (found.some((each) => each === null)) return undefined;
  return found.map((each) => ({
    days: each?.[1]?.split(",").filter((day) => day !== "") ?? [],
    from: each?.[2] ?? "",
    to: each?.[3] ?? "",
  }));
}

export const windowsText = (settings: PolicySettings | undefined): string =>
  (settings?.windows ?? []).map(({ days, from, to }) => `${days.length === 0 ? "" : `${days.join(",")} `}${from}-${to}`).join("; ");
