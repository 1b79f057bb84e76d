// GuardService: the rails as they stand, the kill switch, the maintenance windows.
import { GuardService, type Guards, GuardsSchema, MaintenanceWindowSchema } from "@aether/contract/gen/aether/v2/guard_pb";
import { create, toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Db } from "../db/database.ts";
import { stamp } from "../db/proto.ts";
import type { RowChange } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import { callerOf } from "../http/caller.ts";
import type { Part } from "../part.ts";
import { isInWindow, openCircuits, type RailLimits, resting } from "./rails.ts";
import { readGuards, readPastMoves, requireWindows, toWindow } from "./store.ts";

export interface GuardsOptions {
  readonly db: Db;
  readonly events: Events;
  readonly limits: RailLimits;
  /** The kill switch was turned: awaited before the answer. */
  readonly onChange?: () => Promise<void>;
  readonly nowMs: () => number;
}

export function createGuards({ db, events, limits, onChange, nowMs }: GuardsOptions): Part {
  async function show(): Promise<Guards> {
    const atMs = nowMs();
    const set = await readGuards(db);
    const moves = await readPastMoves(db, atMs);
    const open = await db
      .selectFrom("migrations")
      .select(({ fn }) => fn.countAll().as("count"))
      .where("ended_at", "is", null)
      .where("state", "<>", "planned")
      .executeTakeFirst();
    return create(GuardsSchema, {
      isPaused: set.isPaused,
      pausedReason: set.pausedReason,
      pausedBy: set.pausedBy,
      ...stamp("pausedAt", set.pausedAt),
      windows: [...set.windows],
      isInWindow: isInWindow(set.windows.map(toWindow), atMs),
      openCircuits: openCircuits(moves, limits, atMs).map(({ untilMs, ...circuit }) => ({ ...circuit, until: timestampFromMs(untilMs) })),
      resting: resting(moves, limits, atMs).map(({ untilMs, ...rest }) => ({ ...rest, until: timestampFromMs(untilMs) })),
      movesUnderWay: Number(open?.count ?? 0),
      movesAtOnce: limits.movesAtOnce,
      movesAtOnceEachNode: limits.movesEach,
      restSeconds: limits.restMs / 1000,
    });
  }

  async function change(to: RowChange<"guards">, type: string, message: string, traceId: string): Promise<Guards> {
    await db.transaction().execute(async (tx) => {
      await tx.updateTable("guards").set(to).where("id", "=", 1).execute();
      await events.append(tx, { type, subject: "core", message, traceId });
    });
    await onChange?.();
    return show();
  }

  return {
    routes: (router) =>
      router.service(GuardService, {
        async getGuards() {
          return { guards: await show() };
        },
        async pauseMoves({ reason }, context) {
          const { actor, traceId } = callerOf(context);
          const why = reason.slice(0, 300);
          const to = { is_paused: true, paused_reason: why, paused_by: actor, paused_at: new Date(nowMs()) };
          return { guards: await change(to, "guards.paused", `${actor} has paused all moves${why === "" ? "" : `: ${why}`}`, traceId) };
        },
        async resumeMoves(_request, context) {
          const { actor, traceId } = callerOf(context);
          const to = { is_paused: false, paused_reason: "", paused_by: "", paused_at: null };
          return { guards: await change(to, "guards.resumed", `${actor} lets moves happen again`, traceId) };
        },
        async setMaintenanceWindows({ windows }, context) {
          const { actor, traceId } = callerOf(context);
          requireWindows(windows, "windows");
          const column = JSON.stringify(windows.map((window) => toJson(MaintenanceWindowSchema, window)));
          const message =
            windows.length === 0
              ? `${actor} has removed all maintenance windows`
              : `${actor} has set ${windows.length} maintenance windows`;
          return { guards: await change({ windows: column }, "guards.windows", message, traceId) };
        },
      }),
  };
}
