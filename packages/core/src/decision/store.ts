// Decisions as rows and as messages.
import { type Decision, DecisionMoveSchema, DecisionSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { z } from "zod";
import { stamp } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import type { DecisionPlan } from "./decide.ts";

export const movesColumn = (moves: DecisionPlan["moves"]): string => JSON.stringify(moves.map((move) => toJson(DecisionMoveSchema, move)));

export const toDecision = (row: Row<"decisions">): Decision =>
  create(DecisionSchema, {
    id: row.id,
    ...stamp("at", row.at),
    nodeId: row.node_id,
    signalId: row.signal_id ?? "",
    action: row.action,
    rule: row.rule,
    reason: row.reason,
    moves: z
      .array(z.json())
      .parse(row.moves)
      .map((move) => fromJson(DecisionMoveSchema, move, { ignoreUnknownFields: true })),
    latencyMs: row.latency_ms,
    sinceObservedMs: row.since_observed_ms ?? 0,
    traceId: row.trace_id,
  });
