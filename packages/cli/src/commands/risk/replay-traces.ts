// `aether risk replay --traces`: the policy over recorded markets instead of the fleet's own history.
import { fault } from "@aether/contract";
import { DEFAULT_HAZARD_MODEL, DEFAULT_MOVE_COSTS, DEFAULT_MOVE_POLICY, historyOf, type MovePolicy, replay } from "@aether/risk";
import { listTraces, readTrace } from "../backtest/traces.ts";

export interface TraceReplay {
  readonly traces: string;
  readonly group: string | undefined;
  readonly onDemandUsdPerHour: number;
  readonly spotUsdPerHour: number;
  readonly policy: Partial<MovePolicy>;
}

/** Throws INVALID_ARGUMENT when the group is missing or too short. */
export function replayTraces({ traces, group, onDemandUsdPerHour, spotUsdPerHour, policy }: TraceReplay) {
  const files = listTraces(traces, group);
  const groups = [...new Set(files.map((file) => file.group))];
  const [only] = groups;
  if (only === undefined) throw fault("INVALID_ARGUMENT", `the manifest has no group ${JSON.stringify(group ?? "")}`, { field: "group" });
  if (groups.length > 1)
    throw fault("INVALID_ARGUMENT", "pools that are replayed together must have been recorded together: name one --group", {
      field: "group",
      hint: `One of ${groups.join(", ")}.`,
    });
  const pools = files.map((file) => ({
    group: file.group,
    trace: readTrace(file, true),
    startSeconds: 0,
    hasKnownClock: false,
    onDemandUsdPerHour,
  }));
  const inForce = { ...DEFAULT_MOVE_POLICY, ...policy };
  const history = historyOf(pools, DEFAULT_HAZARD_MODEL, inForce.horizonSeconds, spotUsdPerHour);
  const report = replay(history, DEFAULT_MOVE_COSTS, inForce);
  return { ...report, group: only, pools: history.pools, ticks: history.ticks.length, tickSeconds: history.tickSeconds };
}
