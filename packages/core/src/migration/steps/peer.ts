import { fault } from "@aether/contract";
import { okResult, type StepContext } from "./step.ts";

/** Where the target's link waits, as its PREPARE answered. */
export function peerOf({ record, commands }: Pick<StepContext, "record" | "commands">): { nodeId: string; address: string; port: number } {
  const facts = okResult(commands, "prepare")?.facts;
  if (facts?.case !== "prepare") throw fault("INTERNAL", `${record.id}: the target's link is not known before PREPARE has answered`);
  return { nodeId: record.targetNodeId, address: facts.value.linkAddress, port: facts.value.linkPort };
}
