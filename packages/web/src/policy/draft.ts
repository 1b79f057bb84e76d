// A policy while it is written, as the words in its form. Pure.
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import type { Policy, PolicySchema } from "@aether/contract/gen/aether/v2/policy_pb";
import { OnNodeLost } from "@aether/contract/gen/aether/v2/workload_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { parseSelector, parseWindows, selectorText, windowsText } from "./settings.ts";

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
  onNodeLost: policy?.settings?.onNodeLost ?? OnNodeLost.UNSPECIFIED,
  mode: policy?.settings?.mode ?? MigrationMode.UNSPECIFIED,
  windows: windowsText(policy?.settings),
});

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
    ...(draft.onNodeLost === OnNodeLost.UNSPECIFIED ? {} : { onNodeLost: draft.onNodeLost }),
    ...(draft.mode === MigrationMode.UNSPECIFIED ? {} : { mode: draft.mode }),
    windows,
  };
  return { name: draft.name.trim(), description: draft.description.trim(), selector, rank: Number(draft.rank), settings };
}

const number = <Key extends string>(key: Key, text: string): { [K in Key]?: number } =>
  (text.trim() === "" ? {} : { [key]: Number(text) }) as { [K in Key]?: number };
