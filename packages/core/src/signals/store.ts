// Signals as rows and as messages. They are written where they come in (fleet/signal-intake.ts); here they are read.
import { type Signal, SignalKind, SignalSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create } from "@bufbuild/protobuf";
import { stamp } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import type { SignalKindText } from "../db/tables/moves.ts";

const kinds: Readonly<Record<SignalKindText, SignalKind>> = {
  notice: SignalKind.NOTICE,
  rebalance: SignalKind.REBALANCE,
  withdrawn: SignalKind.WITHDRAWN,
  node_lost: SignalKind.NODE_LOST,
  risk: SignalKind.RISK,
};

export const toSignal = (row: Row<"signals">): Signal =>
  create(SignalSchema, {
    id: row.id,
    kind: kinds[row.kind],
    nodeId: row.node_id,
    ...stamp("observedAt", row.observed_at),
    ...stamp("receivedAt", row.received_at),
    ...stamp("effectiveAt", row.effective_at),
    action: row.action,
    source: row.source,
    traceId: row.trace_id,
  });

/** When the agent saw it, by core's clock, ms: the offset is core's clock less the agent's. */
export const observedAtMs = (row: Pick<Row<"signals">, "observed_at" | "clock_offset_ms">): number =>
  row.observed_at.getTime() + (row.clock_offset_ms ?? 0);
