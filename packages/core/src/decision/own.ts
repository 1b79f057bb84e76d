// Decisions that are not the answer to a signal as it came: the control plane's own acts and deliberate non-acts afterwards. On record with the act itself,
// and on the audit, since nobody asked for them.
import { DecisionMoveSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import type { Audit } from "../audit/audit.ts";
import type { Database } from "../db/schema.ts";
import type { Fact } from "./rules.ts";

export interface OwnDecision {
  readonly id: string;
  readonly nodeId: string;
  readonly traceId?: string;
  readonly action: "restore" | "snapshot" | "migrate" | "hold";
  readonly rule: string;
  readonly ruleVersion: string;
  readonly reason: string;
  readonly inputs: readonly Fact[];
  readonly alternatives: readonly string[];
  readonly moves: readonly MessageInitShape<typeof DecisionMoveSchema>[];
}

/** In the transaction of what was decided. */
export async function recordOwnDecision(
  tx: Kysely<Database>,
  audit: Pick<Audit, "record">,
  decision: OwnDecision,
  nowMs: number,
): Promise<void> {
  const { id, nodeId, traceId = "", action, rule, ruleVersion, reason, inputs, alternatives, moves } = decision;
  await tx
    .insertInto("decisions")
    .values({
      id,
      at: new Date(nowMs),
      node_id: nodeId,
      signal_id: null,
      trace_id: traceId,
      action,
      rule,
      rule_version: ruleVersion,
      reason,
      inputs: JSON.stringify(inputs),
      alternatives: JSON.stringify(alternatives),
      moves: JSON.stringify(moves.map((move) => toJson(DecisionMoveSchema, create(DecisionMoveSchema, move)))),
    })
    .execute();
  const workloads = moves.map(({ workload = "" }) => workload);
  const entry = { actor: "core", action: `decision.${action}`, subject: `node/${nodeId}`, outcome: "ok", traceId } as const;
  await audit.record({ ...entry, data: { decisionId: id, rule, workloads } }, tx);
}
