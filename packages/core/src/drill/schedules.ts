// DrillScheduleService, and the watch that begins what is due. Only the leading control plane runs it. The next time is on record before a drill
// begins: a crash in between misses a drill and says so, it never begins one twice.
import { Fault, fault, parseLabel, parseNodeId } from "@aether/contract";
import { StartDrillRequestSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { type DrillSchedule, DrillScheduleSchema, DrillScheduleService } from "@aether/contract/gen/aether/v2/drill_schedule_pb";
import { faultpoint, type Logger, sleep } from "@aether/kit";
import { create } from "@bufbuild/protobuf";
import type { Db } from "../db/database.ts";
import { stamp } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { readGuards } from "../guard/store.ts";
import { callerOf } from "../http/caller.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { newId } from "../ids.ts";
import type { Part } from "../part.ts";
import { checkWords } from "./check-start.ts";
import type { Drills } from "./drills.ts";
import { protoKinds } from "./kinds.ts";
import { nextTime, parseTiming, type Timing } from "./next-time.ts";

export interface DrillSchedulesOptions {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: Pick<AgentSessions, "connectedNodes">;
  readonly begin: Drills["begin"];
  readonly nowMs: () => number;
  readonly log: Logger;
  /** Default 2000. */
  readonly lookMs?: number;
}

/** Later than this a drill would come as a surprise: it is missed instead. */
const graceMs = 60_000;
const maxSchedules = 200;

export function createDrillSchedules(options: DrillSchedulesOptions): Part & { stop(): Promise<void> } {
  const { db, events, nowMs, log, lookMs = 2_000 } = options;
  const stopping = new AbortController();
  let loop: Promise<void> = Promise.resolve();

  async function read(idOrName: string): Promise<Row<"drill_schedules">> {
    const row = await db
      .selectFrom("drill_schedules")
      .selectAll()
      .where((eb) => eb.or([eb("id", "=", idOrName), eb("name", "=", idOrName)]))
      .executeTakeFirst();
    if (row !== undefined) return row;
    throw fault("DRILL_SCHEDULE_NOT_FOUND", `there is no schedule ${JSON.stringify(idOrName.slice(0, 60))}`, { field: "id" });
  }

  /** Begins what is due, one after the other. */
  async function look(): Promise<void> {
    const due = await db.selectFrom("drill_schedules").selectAll().where("next_at", "<=", new Date(nowMs())).orderBy("next_at").execute();
    for (const row of due) {
      if (stopping.signal.aborted) return;
      await comeDue(row);
    }
  }

  async function comeDue(row: Row<"drill_schedules">): Promise<void> {
    const dueAtMs = row.next_at?.getTime() ?? nowMs();
    const claimed = await db
      .updateTable("drill_schedules")
      .set({
        next_at: dateOrNull(nextTime(timingOf(row), Math.max(dueAtMs, nowMs()))),
        last_at: new Date(dueAtMs),
        last_outcome: "beginning",
      })
      .where("id", "=", row.id)
      .where("next_at", "=", row.next_at)
      .returning("id")
      .executeTakeFirst();
    if (claimed === undefined) return; // paused or deleted meanwhile
    await faultpoint("core.drill.schedule_claimed");
    const lateMs = nowMs() - dueAtMs;
    if (lateMs > graceMs) return miss(row, `missed: no control plane led at ${new Date(dueAtMs).toISOString()}`);
    const { isPaused } = await readGuards(db);
    if (isPaused) return miss(row, "missed: moves are paused, and a drill needs them");
    try {
      const nodeId = row.node_id || (await busiestNode(db, options.sessions.connectedNodes()));
      const kind = protoKinds[row.kind];
      const wanted = create(StartDrillRequestSchema, { kind, nodeId, windowSeconds: row.window_seconds, priceFactor: row.price_factor });
      const drillId = await options.begin(wanted, { schedule: row });
      await db.updateTable("drill_schedules").set({ last_drill_id: drillId, last_outcome: "begun" }).where("id", "=", row.id).execute();
      log.info({ schedule: row.name, drill: drillId }, "drill.scheduled");
    } catch (caught) {
      const problem = Fault.from(caught);
      await miss(row, `refused: ${problem.code}: ${problem.message}`.slice(0, 500));
    }
  }

  async function miss(row: Row<"drill_schedules">, outcome: string): Promise<void> {
    await db.transaction().execute(async (tx) => {
      await tx
        .updateTable("drill_schedules")
        .set((eb) => ({ last_outcome: outcome, missed_count: eb("missed_count", "+", 1) }))
        .where("id", "=", row.id)
        .execute();
      await events.append(tx, {
        type: "drill.missed",
        subject: `drill-schedule/${row.name}`,
        message: `the drill of the schedule ${row.name} did not begin: ${outcome}`,
        data: { scheduleId: row.id, kind: row.kind },
      });
    });
    log.warn({ schedule: row.name, outcome }, "drill.missed");
  }

  async function pause(id: string, isPaused: boolean): Promise<DrillSchedule> {
    const row = await read(id);
    const isAlready = (row.next_at === null) === isPaused;
    if (!isAlready)
      await db
        .updateTable("drill_schedules")
        .set({ next_at: isPaused ? null : dateOrNull(nextTime(timingOf(row), nowMs())) })
        .where("id", "=", row.id)
        .execute();
    return toSchedule(await read(row.id));
  }

  return {
    routes(router) {
      router.service(DrillScheduleService, {
        async createDrillSchedule(request, context) {
          const name = parseLabel(request.name, "name");
          const { kind, windowSeconds } = checkWords(request);
          if (request.nodeId !== "") parseNodeId(request.nodeId, "node_id");
          const atMs = nowMs();
          const timing = parseTiming(request, atMs);
          const { count } = await db
            .selectFrom("drill_schedules")
            .select(({ fn }) => fn.countAll<string>().as("count"))
            .executeTakeFirstOrThrow();
          if (Number(count) >= maxSchedules)
            throw fault("PRECONDITION_FAILED", `there are ${maxSchedules} schedules already`, { hint: "Delete one that is not needed." });
          const row = await db
            .insertInto("drill_schedules")
            .values({
              id: newId("drs", atMs),
              name,
              kind,
              node_id: request.nodeId,
              window_seconds: windowSeconds,
              price_factor: request.priceFactor,
              cron: timing.cron,
              every_seconds: timing.everySeconds,
              time_zone: timing.timeZone,
              created_at: new Date(atMs),
              created_by: callerOf(context).actor,
              next_at: dateOrNull(nextTime(timing, atMs)),
            })
            .returningAll()
            .executeTakeFirstOrThrow()
            .catch((caught: unknown) => {
              if (!isUniqueViolation(caught, "drill_schedules_name_key")) throw caught;
              throw fault("DRILL_SCHEDULE_EXISTS", `there is a schedule ${name}`, { field: "name" });
            });
          return { schedule: toSchedule(row) };
        },
        async listDrillSchedules({ page }) {
          const { limit, after } = parsePage(page);
          let query = db
            .selectFrom("drill_schedules")
            .selectAll()
            .orderBy("name")
            .limit(limit + 1);
          if (after !== undefined) query = query.where("name", ">", after);
          const { rows, nextPageToken } = cutPage(await query.execute(), limit, ({ name }) => name);
          return { schedules: rows.map(toSchedule), nextPageToken };
        },
        getDrillSchedule: async ({ id }) => ({ schedule: toSchedule(await read(id)) }),
        pauseDrillSchedule: async ({ id }) => ({ schedule: await pause(id, true) }),
        resumeDrillSchedule: async ({ id }) => ({ schedule: await pause(id, false) }),
        async deleteDrillSchedule({ id }) {
          const row = await read(id);
          await db.deleteFrom("drill_schedules").where("id", "=", row.id).execute();
          return {};
        },
      });
    },
    async start(outer) {
      const signal = AbortSignal.any([outer, stopping.signal]);
      const cut = await db.selectFrom("drill_schedules").selectAll().where("last_outcome", "=", "beginning").execute();
      for (const row of cut) {
        const drill = await db
          .selectFrom("drills")
          .select("id")
          .where("started_at", ">=", row.last_at ?? new Date(0))
          .where("report", "@>", JSON.stringify({ scheduleId: row.id }))
          .executeTakeFirst();
        if (drill === undefined) await miss(row, "missed: the control plane ended before it began");
        else
          await db
            .updateTable("drill_schedules")
            .set({ last_drill_id: drill.id, last_outcome: "begun" })
            .where("id", "=", row.id)
            .execute();
      }
      loop = (async () => {
        while (!signal.aborted) {
          await look().catch((caught: unknown) => {
            if (!signal.aborted) log.error({ err: caught }, "drill.schedules.look_failed");
          });
          await sleep(lookMs, signal).catch(() => undefined);
        }
      })();
    },
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}

const dateOrNull = (ms: number | undefined): Date | null => (ms === undefined ? null : new Date(ms));

const timingOf = (row: Row<"drill_schedules">): Timing => ({
  cron: row.cron,
  everySeconds: row.every_seconds,
  timeZone: row.time_zone,
  createdAtMs: row.created_at.getTime(),
});

/** Throws NODE_NOT_FOUND: nothing is connected. */
async function busiestNode(db: Db, connected: readonly string[]): Promise<string> {
  const rows = await db
    .selectFrom("placements")
    .select(({ fn }) => ["node_id", fn.countAll<string>().as("count")])
    .where("is_active", "=", true)
    .groupBy("node_id")
    .orderBy("count", "desc")
    .orderBy("node_id")
    .execute();
  const found = rows.find(({ node_id }) => connected.includes(node_id))?.node_id ?? connected[0];
  if (found === undefined) throw fault("NODE_NOT_FOUND", "no node is connected");
  return found;
}

function toSchedule(row: Row<"drill_schedules">): DrillSchedule {
  return create(DrillScheduleSchema, {
    id: row.id,
    name: row.name,
    kind: protoKinds[row.kind],
    nodeId: row.node_id,
    windowSeconds: row.window_seconds,
    cron: row.cron ?? "",
    everySeconds: row.every_seconds ?? 0,
    timeZone: row.time_zone,
    isPaused: row.next_at === null,
    ...stamp("createdAt", row.created_at),
    createdBy: row.created_by,
    ...stamp("nextAt", row.next_at),
    lastDrillId: row.last_drill_id ?? "",
    ...stamp("lastAt", row.last_at),
    lastOutcome: row.last_outcome,
    missedCount: row.missed_count,
    priceFactor: row.price_factor,
  });
}
