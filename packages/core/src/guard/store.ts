// The kill switch, the windows and the past moves, as rows.
import { fault } from "@aether/contract";
import { type MaintenanceWindow, MaintenanceWindowSchema } from "@aether/contract/gen/aether/v2/guard_pb";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import { z } from "zod";
import type { Database } from "../db/schema.ts";
import { isDayName, type PastMove, type Window } from "./rails.ts";

export interface GuardSettings {
  readonly isPaused: boolean;
  readonly pausedReason: string;
  readonly pausedBy: string;
  readonly pausedAt: Date | null;
  readonly windows: readonly MaintenanceWindow[];
}

export async function readGuards(db: Kysely<Database>): Promise<GuardSettings> {
  const row = await db.selectFrom("guards").selectAll().executeTakeFirstOrThrow();
  return {
    isPaused: row.is_paused,
    pausedReason: row.paused_reason,
    pausedBy: row.paused_by,
    pausedAt: row.paused_at,
    windows: z
      .array(z.json())
      .catch([])
      .parse(row.windows)
      .map((each) => fromJson(MaintenanceWindowSchema, each as JsonValue, { ignoreUnknownFields: true })),
  };
}

/** Throws INVALID_ARGUMENT, naming the field. */
export function requireWindows(windows: readonly MaintenanceWindow[], field: string): void {
  if (windows.length > 50) throw fault("INVALID_ARGUMENT", `${field} are at most 50`, { field });
  for (const [i, window] of windows.entries()) {
    const bad = window.days.findIndex((day) => !isDayName(day));
    if (bad >= 0) {
      const said = JSON.stringify(window.days[bad]?.slice(0, 20));
      throw fault("INVALID_ARGUMENT", `days are mon, tue, wed, thu, fri, sat, sun, not ${said}`, { field: `${field}[${i}].days[${bad}]` });
    }
    for (const end of ["from", "to"] as const)
      if (minuteOf(window[end]) === undefined)
        throw fault("INVALID_ARGUMENT", `${end} is a time such as 22:00, not ${JSON.stringify(window[end].slice(0, 20))}`, {
          field: `${field}[${i}].${end}`,
        });
  }
}

/** "22:00" as minutes of the day; undefined where it is not a time. */
function minuteOf(text: string): number | undefined {
  const match = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * 60 + Number(match[2]);
}

export const toWindow = (window: MaintenanceWindow): Window => ({
  days: window.days,
  fromMinute: minuteOf(window.from) ?? 0,
  toMinute: minuteOf(window.to) ?? 0,
});

const errorColumn = z.object({ code: z.string(), details: z.object({ state: z.string().optional() }).optional() }).catch({ code: "" });

/** A move whose time was over before its turn came has tried nothing between its nodes. */
function codeOf(error: unknown): string {
  const { code, details } = errorColumn.parse(error);
  return code === "DEADLINE_EXCEEDED" && details?.state === "planned" ? "NOT_BEGUN" : code;
}

/** Moves that ended within a day, newest first: as far back as any rail looks. */
export async function readPastMoves(db: Kysely<Database>, nowMs: number): Promise<PastMove[]> {
  const rows = await db
    .selectFrom("migrations")
    .select(["workload", "source_node_id", "target_node_id", "state", "error", "ended_at"])
    .where("ended_at", ">", new Date(nowMs - 86_400_000))
    .orderBy("ended_at", "desc")
    .limit(5_000)
    .execute();
  return rows.flatMap((row) =>
    row.ended_at === null
      ? []
      : [
          {
            workload: row.workload,
            sourceNodeId: row.source_node_id,
            targetNodeId: row.target_node_id,
            isDone: row.state === "done",
            code: codeOf(row.error),
            endedAtMs: row.ended_at.getTime(),
          },
        ],
  );
}
