// A policy's settings at the edge, in a row, and in words.
import { fault, parseLabel } from "@aether/contract";
import type { MaintenanceWindow } from "@aether/contract/gen/aether/v2/guard_pb";
import { type EffectiveSetting, EffectiveSettingSchema, type Policy, type PolicySettings } from "@aether/contract/gen/aether/v2/policy_pb";
import { OnNodeLost } from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import { requireWindows } from "../guard/store.ts";
import { modeFromProto } from "../migration/mode.ts";
import { parseLabels, parseMinCpu, parseObjectiveMs, parsePriority, parseRpo } from "../workload/spec.ts";
import type { Effective, PolicyVersion, Sourced } from "./resolve.ts";

const invalid = (field: string, message: string) => fault("INVALID_ARGUMENT", `${field} ${message}`, { field });

export interface ParsedPolicy extends Omit<PolicyVersion, "version"> {
  readonly description: string;
}

const mostRank = 1_000_000;

/** Throws INVALID_ARGUMENT, naming the field. */
export function parsePolicy(policy: Policy | undefined): ParsedPolicy {
  if (policy === undefined) throw invalid("policy", "is missing");
  const name = parseLabel(policy.name, "policy.name");
  if (policy.description.length > 1000) throw invalid("policy.description", "is longer than 1000 characters");
  if (Math.abs(policy.rank) > mostRank) throw invalid("policy.rank", `must be -${mostRank} to ${mostRank}`);
  const { settings } = policy;
  if (settings === undefined) throw invalid("policy.settings", "is missing: a policy sets something");
  requireSettings(settings);
  return {
    name,
    description: policy.description,
    selector: parseLabels(policy.selector, "policy.selector"),
    rank: policy.rank,
    settings,
  };
}

function requireSettings(settings: PolicySettings): void {
  const field = "policy.settings";
  const { maxFreezeMs, maxTimeToSafeMs, priority, onNodeLost, rpoSeconds, mode, windows, minCpuPercent } = settings;
  if (maxFreezeMs !== undefined) parseObjectiveMs(maxFreezeMs, `${field}.max_freeze_ms`);
  if (maxTimeToSafeMs !== undefined) parseObjectiveMs(maxTimeToSafeMs, `${field}.max_time_to_safe_ms`);
  if (priority !== undefined) parsePriority(priority, `${field}.priority`);
  if (onNodeLost !== undefined && onNodeLost !== OnNodeLost.HOLD && onNodeLost !== OnNodeLost.RESTORE)
    throw invalid(`${field}.on_node_lost`, "must be HOLD or RESTORE");
  if (rpoSeconds !== undefined) parseRpo(rpoSeconds, `${field}.rpo_seconds`);
  if (mode !== undefined && (mode === 0 || modeFromProto(mode) === undefined))
    throw invalid(`${field}.mode`, "must be AUTO, PRE_COPY, POST_COPY or STOP_AND_COPY");
  requireWindows(windows, `${field}.windows`);
  if (minCpuPercent !== undefined) parseMinCpu(minCpuPercent, `${field}.min_cpu_percent`);
  const single = [maxFreezeMs, maxTimeToSafeMs, priority, onNodeLost, rpoSeconds, mode, minCpuPercent];
  const isEmpty = single.every((each) => each === undefined);
  if (isEmpty && windows.length === 0) throw invalid(field, "set nothing: give at least one");
}

/** Every setting, with its unit and where it comes from. */
export function describeEffective(effective: Effective): EffectiveSetting[] {
  const say = <Value>(name: string, { value, source }: Sourced<Value>, words: (value: Value) => string) =>
    create(EffectiveSettingSchema, { name, value: words(value), source });
  const objective = (ms: number) => (ms === 0 ? "none" : `${ms} ms`);
  const windows = effective.windows.map((each) => say("windows", each, (value) => value.map(windowText).join("; ")));
  return [
    say("max_freeze_ms", effective.maxFreezeMs, objective),
    say("max_time_to_safe_ms", effective.maxTimeToSafeMs, objective),
    say("priority", effective.priority, String),
    say("on_node_lost", effective.onNodeLost, (value) => (value === OnNodeLost.RESTORE ? "restore" : "hold")),
    say("rpo_seconds", effective.rpoSeconds, (seconds) => (seconds === 0 ? "none" : `${seconds} s`)),
    say("mode", effective.mode, (mode) => mode.replaceAll("_", "-")),
    say("min_cpu_percent", effective.minCpuPercent, (percent) => (percent === 0 ? "never held down" : `${percent} % of one processor`)),
    ...(windows.length > 0 ? windows : [say("windows", { value: "always", source: "default" }, String)]),
  ];
}

const windowText = ({ days, from, to }: MaintenanceWindow): string =>
  `${days.length === 0 ? "daily" : days.join(", ")} ${from} to ${to} UTC`;
