// How long what is kept: the configuration's values, and above them what an admin has set while it runs. Whoever cuts asks at each cut, and cuts anew
// when they change.
import { fault } from "@aether/contract";
import { type Retention, type RetentionChange, RetentionSchema } from "@aether/contract/gen/aether/v2/ops_pb";
import { create } from "@bufbuild/protobuf";
import { z } from "zod";
import type { CoreConfig } from "../config.ts";
import type { Db } from "../db/database.ts";
import { stamp } from "../db/proto.ts";

type Name = Exclude<keyof RetentionChange, "$typeName" | "$unknown">;

interface Rule {
  /** As the contract spells it. */
  readonly name: string;
  readonly what: string;
  readonly unit: string;
  readonly lowest: number;
  readonly highest: number;
  readonly isWhole: boolean;
  configured(config: Pick<CoreConfig, "telemetry" | "events" | "snapshots" | "runbooks">): number;
}

const rules: Readonly<Record<Name, Rule>> = {
  telemetryFineMinutes: {
    name: "telemetry_fine_minutes",
    what: "samples of nodes and workloads as they came",
    unit: "minutes",
    lowest: 5,
    highest: 1_440,
    isWhole: true,
    configured: ({ telemetry }) => telemetry.keepFineMinutes,
  },
  telemetryDays: {
    name: "telemetry_days",
    what: "their averages of a minute",
    unit: "days",
    lowest: 1,
    highest: 90,
    isWhole: true,
    configured: ({ telemetry }) => telemetry.keepDays,
  },
  eventsDays: {
    name: "events_days",
    what: "events",
    unit: "days",
    lowest: 1,
    highest: 3_650,
    isWhole: true,
    configured: ({ events }) => events.keepDays,
  },
  eventsCount: {
    name: "events_count",
    what: "events, at most",
    unit: "rows",
    lowest: 1_000,
    highest: 10_000_000,
    isWhole: true,
    configured: ({ events }) => events.keepCount,
  },
  snapshotsDays: {
    name: "snapshots_days",
    what: "snapshots; never the last good one of a workload, a pinned one, or one in use",
    unit: "days",
    lowest: 1,
    highest: 3_650,
    isWhole: false,
    configured: ({ snapshots }) => snapshots.keepDays,
  },
  snapshotsEach: {
    name: "snapshots_each",
    what: "snapshots of one workload, at most",
    unit: "snapshots",
    lowest: 1,
    highest: 10_000,
    isWhole: true,
    configured: ({ snapshots }) => snapshots.keepEach,
  },
  snapshotsGigabytes: {
    name: "snapshots_gigabytes",
    what: "snapshots in all, by the size of what was saved",
    unit: "GB",
    lowest: 1,
    highest: 1_000_000,
    isWhole: false,
    configured: ({ snapshots }) => snapshots.keepGigabytes,
  },
  runbookRunsDays: {
    name: "runbook_runs_days",
    what: "runs of runbooks that have ended, with their steps; the newest of each runbook stays",
    unit: "days",
    lowest: 1,
    highest: 3_650,
    isWhole: true,
    configured: ({ runbooks }) => runbooks.keepRunsDays,
  },
};
const names = Object.keys(rules) as Name[];

const stored = z.partialRecord(z.enum(names as [Name, ...Name[]]), z.object({ value: z.number(), by: z.string(), atMs: z.number() }));
type Stored = z.infer<typeof stored>;

export interface RetentionRules {
  /** In the rule's unit. */
  value(name: Name): number;
  show(): Retention;
  /** Throws INVALID_ARGUMENT that names the field. Whoever cuts is woken. */
  change(change: RetentionChange | undefined, actor: string): Promise<void>;
  onChange(listener: () => void): void;
}

export async function openRetentionRules(db: Db, config: CoreConfig, nowMs: () => number): Promise<RetentionRules> {
  const row = await db.selectFrom("settings").select("value").where("name", "=", "retention").executeTakeFirst();
  const listeners: (() => void)[] = [];
  let changed: Stored = stored.catch({}).parse(row?.value ?? {});
  const value = (name: Name) => changed[name]?.value ?? rules[name].configured(config);
  return {
    value,
    show: () =>
      create(RetentionSchema, {
        rules: [
          ...names.map((name) => {
            const { configured: _, isWhole: __, ...rule } = rules[name];
            const by = changed[name];
            return {
              ...rule,
              value: value(name),
              source: by === undefined ? "config" : "operator",
              changedBy: by?.by ?? "",
              ...stamp("changedAt", by === undefined ? null : new Date(by.atMs)),
            };
          }),
          { name: "audit", what: "the audit log: append-only, never shortened", unit: "for ever", isFixed: true, source: "config" },
        ],
      }),
    async change(change, actor) {
      const next: Stored = { ...changed };
      for (const name of names) {
        const wanted = change?.[name];
        if (wanted === undefined) continue;
        const { lowest, highest, isWhole, unit, name: field } = rules[name];
        if (!(wanted >= lowest && wanted <= highest) || (isWhole && !Number.isInteger(wanted)))
          throw fault(
            "INVALID_ARGUMENT",
            `${field} must be ${isWhole ? "a whole number from " : ""}${lowest} to ${highest} ${unit}, not ${wanted}`,
            {
              field: `change.${field}`,
            },
          );
        next[name] = { value: wanted, by: actor, atMs: nowMs() };
      }
      if (Object.keys(next).length === 0 || change === undefined)
        throw fault("INVALID_ARGUMENT", "nothing is named that is to change", { field: "change" });
      const columns = { value: JSON.stringify(next), changed_at: new Date(nowMs()), changed_by: actor };
      await db
        .insertInto("settings")
        .values({ name: "retention", ...columns })
        .onConflict((conflict) => conflict.column("name").doUpdateSet(columns))
        .execute();
      changed = next;
      for (const listener of listeners) listener();
    },
    onChange: (listener) => void listeners.push(listener),
  };
}
