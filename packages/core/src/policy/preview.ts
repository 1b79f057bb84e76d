// What a policy would change, and where it says something that can do harm or nothing. Pure.
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import { type PolicyEffect, PolicyEffectSchema } from "@aether/contract/gen/aether/v2/policy_pb";
import { OnNodeLost } from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import { type Effective, isUnder, type PolicyVersion, resolve, type Said, sourceOf } from "./resolve.ts";
import { describeEffective } from "./settings.ts";

export interface PreviewedWorkload {
  readonly name: string;
  readonly state: string;
  readonly said: Said;
}

const mostEffects = 1_000;

/** @param next the policy as it would be; `before` holds the version in force, if there is one. */
export function preview(
  next: PolicyVersion,
  before: readonly PolicyVersion[],
  workloads: readonly PreviewedWorkload[],
): { effects: PolicyEffect[]; warnings: string[] } {
  const after = [...before.filter(({ name }) => name !== next.name), next];
  const all = workloads.flatMap(({ name, said }) => {
    const [was, becomes] = [texts(resolve(said, before)), texts(resolve(said, after))];
    return [...becomes].flatMap(([setting, value]) =>
      was.get(setting) === value
        ? []
        : [create(PolicyEffectSchema, { workload: name, setting, before: was.get(setting) ?? "", after: value })],
    );
  });
  const under = workloads.filter(({ said }) => isUnder(next, said.labels));
  return { effects: all.slice(0, mostEffects), warnings: warningsOf(next, after, under, all.length) };
}

/** Values by name; where windows come from several policies, all of them. */
function texts(effective: Effective): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name, value } of describeEffective(effective)) found.set(name, found.has(name) ? `${found.get(name)}; and ${value}` : value);
  return found;
}

function warningsOf(
  next: PolicyVersion,
  after: readonly PolicyVersion[],
  under: readonly PreviewedWorkload[],
  effectCount: number,
): string[] {
  const { settings } = next;
  const source = sourceOf(next);
  const warnings: string[] = [];
  if (effectCount > mostEffects) warnings.push(`${effectCount} settings change; the first ${mostEffects} are listed`);
  if (under.length === 0) warnings.push("no workload has its labels now: it does nothing yet");
  else if (!under.some(({ said }) => describeEffective(resolve(said, after)).some((setting) => setting.source === source)))
    warnings.push("every setting of it is overridden by specs or stronger policies: it does nothing");
  if (settings.mode === MigrationMode.POST_COPY)
    warnings.push("post-copy: after the resume a workload is lost if its source or the link ends before its memory has followed");
  if (settings.mode === MigrationMode.STOP_AND_COPY)
    warnings.push("stop-and-copy: clients wait while all memory travels, also with a notice in force");
  const lost = under.filter(({ state, said }) => state === "lost" && resolve(said, after).onNodeLost.source === source);
  if (settings.onNodeLost === OnNodeLost.RESTORE) {
    const without = under.filter(({ said }) => resolve(said, after).rpoSeconds.value === 0).length;
    if (without > 0) warnings.push(`${without} of its workloads have no rpo: without a snapshot nothing can be restored`);
    if (lost.length > 0)
      warnings.push(
        `lost now, and restored at once where the node is known to be dead: ${lost
          .map(({ name }) => name)
          .slice(0, 20)
          .join(", ")}`,
      );
  }
  return warnings;
}
