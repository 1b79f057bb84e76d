// Drills and what clients reported, as rows and as messages. `report` holds the Drill message itself: what its columns say is the newer truth.
import { type Drill, DrillSchema, DrillState, type OracleReport, OracleReportSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { ReceiptSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Db } from "../db/database.ts";
import { fromColumn, fromColumnOrNone, stamp, toColumn } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import { toDecision } from "../decision/store.ts";
import { poolOf } from "../migration/plan.ts";
import { toRecord } from "../migration/store.ts";
import { observedAtMs } from "../signals/store.ts";
import { readCrashFacts } from "./crash.ts";
import { protoKinds, signalOf } from "./kinds.ts";
import { readPriceFacts } from "./price.ts";
import type { DrillFacts, DrillMove } from "./verdict.ts";

const states = { running: DrillState.RUNNING, passed: DrillState.PASSED, failed: DrillState.FAILED, stopped: DrillState.STOPPED } as const;

export function toDrill(row: Row<"drills">): Drill {
  const report = reportOf(row);
  return create(DrillSchema, {
    ...report,
    id: row.id,
    kind: protoKinds[row.kind],
    nodeId: row.node_id,
    state: states[row.state],
    ...stamp("startedAt", row.started_at),
    ...stamp("endedAt", row.ended_at),
    windowSeconds: row.window_seconds,
    signalId: row.signal_id ?? "",
    decisionId: row.decision_id ?? "",
  });
}

/** What is kept of the drill beside its columns. */
export const reportOf = (row: Pick<Row<"drills">, "report">): Drill => fromColumn(DrillSchema, row.report);

export const reportColumn = (drill: Drill): string => toColumn(DrillSchema, drill);

/** Everything that the verdict needs, from the rows. */
export async function readDrillFacts(db: Db, row: Row<"drills">): Promise<DrillFacts & { signalId: string; decisionId: string }> {
  const kind = signalOf[row.kind];
  const signal =
    kind === undefined
      ? undefined
      : await db
          .selectFrom("signals")
          .selectAll()
          .where("node_id", "=", row.node_id)
          .where("kind", "=", kind)
          .where("received_at", ">=", row.started_at)
          .orderBy("received_at")
          .limit(1)
          .executeTakeFirst();
  const decision =
    signal === undefined ? undefined : await db.selectFrom("decisions").selectAll().where("signal_id", "=", signal.id).executeTakeFirst();
  const moves = await db
    .selectFrom("migrations")
    .selectAll()
    .where("source_node_id", "=", row.node_id)
    .where("created_at", ">=", row.started_at)
    .orderBy("id")
    .execute();
  const reports = await readSamples(db, row.started_at);
  const windowEndMs = row.started_at.getTime() + row.window_seconds * 1000;
  const report = reportOf(row);
  const atStake = report.predictions.map(({ workload }) => workload);
  const decided = decision === undefined ? undefined : toDecision(decision).moves;
  const ran = row.kind === "crash" ? atStake : (decided?.map((move) => move.workload) ?? (await workloadsOn(db, row.node_id)));
  return {
    kind: row.kind,
    signalId: signal?.id ?? "",
    decisionId: decision?.id ?? "",
    nodeId: row.node_id,
    startedAtMs: row.started_at.getTime(),
    deadlineAtMs: kind === "notice" ? (signal?.effective_at?.getTime() ?? windowEndMs) : windowEndMs,
    observedAtMs: signal === undefined ? undefined : observedAtMs(signal),
    decision:
      decision === undefined
        ? undefined
        : {
            action: decision.action,
            rule: decision.rule,
            reason: decision.reason,
            sinceObservedMs: decision.since_observed_ms ?? decision.latency_ms,
          },
    workloads: ran,
    moves: [...Map.groupBy(moves, (move) => move.workload).values()].map((each) => toMove(each)).filter((move) => move !== undefined),
    reports,
    ...(row.kind === "crash" ? { crash: await readCrashFacts(db, row, atStake) } : {}),
    ...(row.kind === "price" ? { price: await readPriceFacts(db, row, { pool: report.pool, usdPerHour: report.priceUsdPerHour }) } : {}),
    ...(row.kind === "capacity" ? { capacity: { pool: report.pool, moves: decided ?? [], poolOfNode: await readPools(db) } } : {}),
  };
}

async function readPools(db: Db): Promise<ReadonlyMap<string, string>> {
  const rows = await db.selectFrom("nodes").select(["id", "facts"]).execute();
  return new Map(
    rows.map(({ id, facts }) => {
      const { instanceType = "", zone = "" } = fromColumn(NodeFactsSchema, facts).cloud ?? {};
      return [id, poolOf({ instanceType, zone })];
    }),
  );
}

/** Without a decision nothing has left: what was there is still there. */
async function workloadsOn(db: Db, nodeId: string): Promise<string[]> {
  const rows = await db
    .selectFrom("placements")
    .select("workload")
    .where("node_id", "=", nodeId)
    .where("is_active", "=", true)
    .orderBy("workload")
    .execute();
  return rows.map((row) => row.workload);
}

function toMove(rows: readonly Row<"migrations">[]): DrillMove | undefined {
  const row = rows.at(-1);
  if (row === undefined) return undefined;
  const record = toRecord(row);
  return {
    workload: record.workload,
    targetNodeId: row.target_node_id,
    migrationId: record.id,
    state: record.state,
    resumedAtMs: record.resumedAtMs,
    endedAtMs: record.endedAtMs,
    error: record.error?.message ?? "",
    receipt: fromColumnOrNone(ReceiptSchema, row.receipt),
  };
}

/** Reports since then, oldest first. */
export async function readSamples(db: Db, since: Date): Promise<OracleReport[]> {
  const rows = await db.selectFrom("oracle_samples").select("report").where("until", ">=", since).orderBy("until").execute();
  return rows.map((row) => fromColumn(OracleReportSchema, row.report));
}

export async function addSample(db: Db, report: OracleReport): Promise<void> {
  if (report.since === undefined || report.until === undefined) return;
  await db
    .insertInto("oracle_samples")
    .values({
      name: report.name,
      workload: report.workload,
      since: new Date(timestampMs(report.since)),
      until: new Date(timestampMs(report.until)),
      report: toColumn(OracleReportSchema, report),
    })
    .execute();
}
