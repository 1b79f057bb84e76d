// The exit codes that scripts may rely on: 0 done, 1 the thing failed, 2 usage, 3 the machine lacks something, 4 refused by a rule.
import type { Fault, FaultCode } from "@aether/contract";

export type ExitCode = 0 | 1 | 2 | 3 | 4;

/** Codes of gRPC that mean "what was asked for is not right": InvalidArgument, NotFound, AlreadyExists. */
const usageRpcCodes: readonly number[] = [3, 5, 6];

/** Asked for what this workload, or its deadline, does not allow: ask otherwise. */
const usageCodes: readonly FaultCode[] = ["MODE_UNAVAILABLE"];

const lacking: readonly FaultCode[] = ["TOOL_MISSING", "NODE_LACKS_CAPABILITY", "DRILL_UNAVAILABLE", "DISK_FULL"];

const refused: readonly FaultCode[] = [
  "UNAUTHENTICATED",
  "PERMISSION_DENIED",
  "PREFLIGHT_REFUSED",
  "NO_TARGET",
  "MIGRATION_IN_PROGRESS",
  "MIGRATION_PAST_COMMIT",
  "SETTLE_REFUSED",
  "WORKLOAD_RUNNING",
  "WORKLOAD_NOT_RUNNING",
  "SNAPSHOT_CORRUPT",
  "SNAPSHOT_NOT_READY",
  "SNAPSHOT_OVER_BUDGET",
  "SNAPSHOT_KEPT",
  "DRILL_RUNNING",
  "RUNBOOK_BUILT_IN",
  "RUN_UNDER_WAY",
  "RUN_ENDED",
  "RUN_NOT_WAITING",
  "LOCKED",
];

export function exitCodeOf(problem: Fault): Exclude<ExitCode, 0> {
  if (lacking.includes(problem.code)) return 3;
  if (refused.includes(problem.code)) return 4;
  return usageCodes.includes(problem.code) || usageRpcCodes.includes(problem.row.rpc) ? 2 : 1;
}
