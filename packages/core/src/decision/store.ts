// Decisions as rows and as messages.
import { GuardNoteSchema } from "@aether/contract/gen/aether/v2/guard_pb";
import { type Decision, DecisionMoveSchema, DecisionSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create, type DescMessage, fromJson, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import { z } from "zod";
import { stamp } from "../db/proto.ts";
import type { NewRow, Row } from "../db/schema.ts";
import { type DecisionPlan, ruleVersion } from "./rules.ts";

/** Everything of a row that the plan says. */
export const planColumns = (
  plan: DecisionPlan,
): Pick<
  NewRow<"decisions">,
  "action" | "rule" | "reason" | "moves" | "inputs" | "guards" | "alternatives" | "rule_version" | "score" | "threshold"
> => ({
  action: plan.action,
  rule: plan.rule,
  reason: plan.reason,
  moves: JSON.stringify(plan.moves.map((move) => toJson(DecisionMoveSchema, move))),
  inputs: JSON.stringify(plan.inputs),
  guards: JSON.stringify(plan.guards.map((guard) => toJson(GuardNoteSchema, guard))),
  alternatives: JSON.stringify(plan.alternatives),
  rule_version: ruleVersion,
  score: plan.score ?? null,
  threshold: plan.threshold ?? null,
});

const facts = z.array(z.object({ name: z.string(), value: z.string() })).catch([]);
const texts = z.array(z.string()).catch([]);

function list<Desc extends DescMessage>(schema: Desc, column: JsonValue): MessageShape<Desc>[] {
  return z
    .array(z.json())
    .catch([])
    .parse(column)
    .map((each) => fromJson(schema, each as JsonValue, { ignoreUnknownFields: true }));
}

export const toDecision = (row: Row<"decisions">): Decision =>
  create(DecisionSchema, {
    id: row.id,
    ...stamp("at", row.at),
    nodeId: row.node_id,
    signalId: row.signal_id ?? "",
    action: row.action,
    rule: row.rule,
    reason: row.reason,
    moves: list(DecisionMoveSchema, row.moves),
    latencyMs: row.latency_ms,
    sinceObservedMs: row.since_observed_ms ?? 0,
    traceId: row.trace_id,
    inputs: facts.parse(row.inputs),
    ruleVersion: row.rule_version,
    score: row.score ?? 0,
    threshold: row.threshold ?? 0,
    guards: list(GuardNoteSchema, row.guards),
    alternatives: texts.parse(row.alternatives),
    waveId: row.wave_id ?? "",
  });
