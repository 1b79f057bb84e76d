// A policy while it is written, as the words in its form. Pure.
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import type { Policy, PolicySchema } from "@aether/contract/gen/aether/v2/policy_pb";
import { OnNodeLost } from "@aether/contract/gen/aether/v2/workload_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { words } from "../format/units.ts";
import { modeWords, parseSelector, parseWindows, selectorText, windowsText } from "./settings.ts";

/** Empty, or "unspecified", is what the policy does not set. */
export interface Draft {
  readonly name: string;
  readonly description: string;
  readonly selector: string;
  readonly rank: string;
  readonly freezeMs: string;
  readonly safeMs: string;
  readonly rpoSeconds: string;
  readonly priority: string;
  readonly minCpuPercent: string;
  readonly onNodeLost: OnNodeLost;
  readonly mode: MigrationMode;
  readonly windows: string;
}

const shown = (value: number | undefined): string => (value === undefined ? "" : String(value));

export const draftOf = (policy: Policy | undefined): Draft => ({
  name: policy?.name ?? "",
  description: policy?.description ?? "",
  selector: policy === undefined ? "" : selectorText(policy),
  rank: shown(policy?.rank ?? 0),
  freezeMs: shown(policy?.settings?.maxFreezeMs),
  safeMs: shown(policy?.settings?.maxTimeToSafeMs),
  rpoSeconds: shown(policy?.settings?.rpoSeconds),
  priority: shown(policy?.settings?.priority),
  minCpuPercent: shown(policy?.settings?.minCpuPercent),
  onNodeLost: policy?.settings?.onNodeLost ?? OnNodeLost.UNSPECIFIED,
  mode: policy?.settings?.mode ?? MigrationMode.UNSPECIFIED,
  windows: windowsText(policy?.settings),
});

/** What the form calls its fields. */
export const draftNames: Readonly<Record<Exclude<keyof Draft, "name">, string>> = {
  description: "what it is for",
  selector: "workloads with these labels",
  rank: "rank",
  freezeMs: "longest freeze, ms",
  safeMs: "safe within, ms",
  rpoSeconds: "a snapshot every, seconds",
  priority: "priority",
  minCpuPercent: "held down to, %",
  onNodeLost: "when its node is lost",
  mode: "moved by",
  windows: "windows, UTC",
};

/** A field's value as one reads it; empty: not set. */
export function said(draft: Draft, key: keyof Draft): string {
  if (key === "onNodeLost") return draft.onNodeLost === OnNodeLost.UNSPECIFIED ? "" : words(OnNodeLost[draft.onNodeLost]);
  if (key === "mode") return draft.mode === MigrationMode.UNSPECIFIED ? "" : modeWords(draft.mode);
  return draft[key];
}

/** Their version with what was changed here: where both changed the same, what was written here counts. */
export function ontoTheirs(began: Draft, mine: Draft, theirs: Draft): Draft {
  const changed = Object.entries(mine).filter(([key, value]) => value !== began[key as keyof Draft]);
  return { ...theirs, ...Object.fromEntries(changed) };
}

/** Undefined where labels or windows are not written as such. */
export function policyOf(draft: Draft): MessageInitShape<typeof PolicySchema> | undefined {
  const selector = parseSelector(draft.selector);
  const windows = parseWindows(draft.windows);
  if (selector === undefined || windows === undefined) return undefined;
  const settings = {
    ...number("maxFreezeMs", draft.freezeMs),
    ...number("maxTimeToSafeMs", draft.safeMs),
    ...number("rpoSeconds", draft.rpoSeconds),
    ...number("priority", draft.priority),
    ...number("minCpuPercent", draft.minCpuPercent),
    ...(draft.onNodeLost === OnNodeLost.UNSPECIFIED ? {} : { onNodeLost: draft.onNodeLost }),
    ...(draft.mode === MigrationMode.UNSPECIFIED ? {} : { mode: draft.mode }),
    windows,
  };
  return { name: draft.name.trim(), description: draft.description.trim(), selector, rank: Number(draft.rank), settings };
}

const number = <Key extends string>(key: Key, text: string): { [K in Key]?: number } =>
  (text.trim() === "" ? {} : { [key]: Number(text) }) as { [K in Key]?: number };
