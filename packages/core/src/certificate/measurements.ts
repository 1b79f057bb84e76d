// What finished moves measured, written down once each: found by event, and by a look at what has ended without a row (after a restart).
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import type { Logger } from "@aether/kit";
import { z } from "zod";
import type { Db } from "../db/database.ts";
import type { NewRow, Row } from "../db/schema.ts";
import { modeFromProto } from "../migration/mode.ts";
import type { CommandFact, StepName } from "../migration/state.ts";
import { okResult } from "../migration/steps/step.ts";
import { readCommands, toMigration, toRecord } from "../migration/store.ts";
import { decideMs } from "./estimate.ts";
import type { Measured } from "./measure.ts";

/** Less than this over a link says more about its latency than about its bandwidth. */
const tellingBytes = 8 << 20;
/** How far back a restart looks for moves without a row. */
const lookBackMs = 86_400_000;

const plan = z
  .object({
    predicted: z
      .object({ freezeMs: z.number(), timeToSafeMs: z.number(), rawFreezeMs: z.number(), rawTimeToSafeMs: z.number() })
      .optional()
      .catch(undefined),
    startsAfterMs: z.number().catch(0),
  })
  .catch({ predicted: undefined, startsAfterMs: 0 });

/** The row of a move that is done and whole enough to learn from; undefined for others. */
export function measurementOf(row: Row<"migrations">, commands: readonly CommandFact[]): NewRow<"move_measurements"> | undefined {
  const record = toRecord(row);
  const receipt = toMigration(row).receipt;
  if (record.state !== "done" || record.resumedAtMs === undefined || receipt === undefined || !(receipt.freezeMs > 0)) return undefined;
  const took = (step: StepName): number => {
    const command = commands.findLast((each) => each.step === step && each.outcome === "ok");
    return command?.finishedAtMs === undefined ? 0 : command.finishedAtMs - command.intendedAtMs;
  };
  const preflight = okResult(commands, "preflight")?.facts;
  const report = preflight?.case === "preflight" ? preflight.value : undefined;
  const imageBytes = receipt.leftSource?.images.reduce((sum, image) => sum + Number(image.bytes), 0) ?? 0;
  const { predicted, startsAfterMs } = plan.parse(row.plan);
  // One that had to wait for its turn in a wave: what is foretold is the move itself.
  const beganMs = startsAfterMs > 0 ? Math.max(record.createdAtMs, (commands[0]?.intendedAtMs ?? 0) - decideMs) : record.createdAtMs;
  return {
    migration_id: row.id,
    drill_id: row.drill_id,
    at: new Date(record.resumedAtMs),
    workload: row.workload,
    source_node_id: row.source_node_id,
    target_node_id: row.target_node_id,
    mode: modeFromProto(receipt.mode || MigrationMode.STOP_AND_COPY) ?? "stop_and_copy",
    memory_bytes: Number(receipt.leftSource?.memoryBytes || report?.memoryBytes || 0n),
    file_bytes: Number(report?.fileBytes ?? 0n),
    freeze_bytes: imageBytes,
    preflight_ms: took("preflight"),
    prepare_ms: took("prepare"),
    copy_ms: took("copy"),
    freeze_ms: receipt.freezeMs,
    time_to_safe_ms: record.resumedAtMs - beganMs,
    bytes_per_second: bandwidthOf(commands, imageBytes),
    predicted_freeze_ms: predicted?.freezeMs ?? null,
    predicted_time_to_safe_ms: predicted?.timeToSafeMs ?? null,
    raw_freeze_ms: predicted?.rawFreezeMs ?? null,
    raw_time_to_safe_ms: predicted?.rawTimeToSafeMs ?? null,
  };
}

/** The largest of what was sent in one go decides; null where too little was sent to tell. */
function bandwidthOf(commands: readonly CommandFact[], imageBytes: number): number | null {
  const copy = okResult(commands, "copy")?.facts;
  const freeze = okResult(commands, "freeze");
  const sent: { bytes: number; ms: number }[] = [];
  if (copy?.case === "copy") {
    sent.push({ bytes: Number(copy.value.fileBytes), ms: copy.value.seconds * 1000 });
    for (const round of copy.value.memory?.rounds ?? []) sent.push({ bytes: Number(round.sentBytes), ms: round.durationMs });
  }
  const transfer = freeze?.phases.find((phase) => phase.name === "transfer.images");
  if (transfer !== undefined) sent.push({ bytes: imageBytes, ms: transfer.durationMs });
  const [largest] = sent.filter(({ bytes, ms }) => bytes >= tellingBytes && ms > 0).sort((a, b) => b.bytes - a.bytes);
  return largest === undefined ? null : (largest.bytes / largest.ms) * 1000;
}

export interface Measurements {
  /** Writes what this move measured; safe to repeat. */
  note(migrationId: string): Promise<void>;
  /** Everything that has ended without a row. */
  catchUp(): Promise<void>;
  /** The newest first. */
  read(limit?: number): Promise<Measured[]>;
}

export function createMeasurements({
  db,
  nowMs,
  log,
}: {
  readonly db: Db;
  readonly nowMs: () => number;
  readonly log: Logger;
}): Measurements {
  async function note(id: string): Promise<void> {
    const row = await db.selectFrom("migrations").selectAll().where("id", "=", id).executeTakeFirst();
    const made = row === undefined ? undefined : measurementOf(row, await readCommands(db, id));
    if (made === undefined) return;
    await db
      .insertInto("move_measurements")
      .values(made)
      .onConflict((conflict) => conflict.column("migration_id").doNothing())
      .execute();
    log.debug({ migration: id, freezeMs: made.freeze_ms, predictedMs: made.predicted_freeze_ms }, "certificate.measured");
  }
  return {
    note,
    async catchUp() {
      const rows = await db
        .selectFrom("migrations")
        .leftJoin("move_measurements", "move_measurements.migration_id", "migrations.id")
        .select("migrations.id")
        .where("migrations.state", "=", "done")
        .where("migrations.ended_at", ">", new Date(nowMs() - lookBackMs))
        .where("move_measurements.migration_id", "is", null)
        .execute();
      for (const { id } of rows) await note(id);
    },
    async read(limit = 500) {
      const rows = await db.selectFrom("move_measurements").selectAll().orderBy("at", "desc").limit(limit).execute();
      return rows.map(toMeasured);
    },
  };
}

export function toMeasured(row: Row<"move_measurements">): Measured {
  const foretold = (freezeMs: number | null, timeToSafeMs: number | null) =>
    freezeMs === null || timeToSafeMs === null ? undefined : { freezeMs, timeToSafeMs };
  return {
    migrationId: row.migration_id,
    drillId: row.drill_id ?? undefined,
    atMs: row.at.getTime(),
    workload: row.workload,
    sourceNodeId: row.source_node_id,
    targetNodeId: row.target_node_id,
    mode: row.mode,
    memoryBytes: Number(row.memory_bytes),
    fileBytes: Number(row.file_bytes),
    freezeBytes: Number(row.freeze_bytes),
    preflightMs: row.preflight_ms,
    prepareMs: row.prepare_ms,
    copyMs: row.copy_ms,
    freezeMs: row.freeze_ms,
    timeToSafeMs: row.time_to_safe_ms,
    bytesPerSecond: row.bytes_per_second ?? undefined,
    predicted: foretold(row.predicted_freeze_ms, row.predicted_time_to_safe_ms),
    raw: foretold(row.raw_freeze_ms, row.raw_time_to_safe_ms),
  };
}
