import { type FaultCode, fault } from "@aether/contract";
import { describe, expect, it } from "vitest";
import { exitCodeOf } from "./exit-code.ts";

describe("exitCodeOf", () => {
  it.each<[FaultCode, number]>([
    ["INVALID_ARGUMENT", 2],
    ["WORKLOAD_NOT_FOUND", 2],
    ["NODE_NOT_FOUND", 2],
    ["ADDRESS_IN_USE", 2],
    ["COMMAND_NOT_EXECUTABLE", 2],
    ["MIGRATION_SAME_NODE", 2],
    ["CONFIG_INVALID", 2],
    ["TOOL_MISSING", 3],
    ["NODE_LACKS_CAPABILITY", 3],
    ["PREFLIGHT_REFUSED", 4],
    ["PERMISSION_DENIED", 4],
    ["MIGRATION_IN_PROGRESS", 4],
    ["RESTORE_FAILED", 1],
    ["UNAVAILABLE", 1],
    ["INTERNAL", 1],
  ])("%s is %i", (code, expected) => {
    expect(exitCodeOf(fault(code))).toBe(expected);
  });
});
