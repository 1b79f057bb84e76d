// DashboardService: the fleet in one answer, from what is on record.
import { fault, parseNodeId } from "@aether/contract";
import { DashboardService } from "@aether/contract/gen/aether/v2/dashboard_pb";
import { AssessmentSchema } from "@aether/contract/gen/aether/v2/risk_pb";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import { sql } from "kysely";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { readNodeSamples } from "../telemetry/store.ts";

export interface DashboardOptions {
  readonly db: Db;
  readonly sessions: Pick<AgentSessions, "connectedNodes">;
  readonly nowMs: () => number;
}

const lately = 10 * 60_000;
/** An assessment and the sample nearest to it are at most so far apart. */
const nearMs = 5 * 60_000;
const mostPoints = 500;

export function dashboardRoutes({ db, sessions, nowMs }: DashboardOptions): (router: ConnectRouter) => void {
  const endangered = async () => {
    const row = await db
      .selectFrom("assessments")
      .selectAll()
      .where("subject", "like", "node/%")
      .orderBy("probability", "desc")
      .orderBy("subject")
      .limit(1)
      .executeTakeFirst();
    return row === undefined
      ? undefined
      : { nodeId: row.subject.slice("node/".length), assessment: fromColumn(AssessmentSchema, row.body) };
  };
  const counts = async (table: "workloads" | "certificates", column: "state" | "verdict") => {
    const { rows } = await sql<{ name: string; count: number }>`
      select ${sql.ref(column)} as name, count(*)::int as count from ${sql.table(table)} group by 1`.execute(db);
    return Object.fromEntries(rows.map(({ name, count }) => [name, count]));
  };

  return (router) => {
    router.service(DashboardService, {
      async getDashboard() {
        const worst = await endangered();
        const samples = worst === undefined ? [] : await readNodeSamples(db, worst.nodeId, nowMs() - lately);
        const newest = samples.at(-1);
        const moves = await sql<{ running: number; survived: number }>`
          select count(*) filter (where m.ended_at is null)::int as running,
            count(distinct s.id) filter (where m.state = 'done' and s.kind = 'notice' and m.drill_id is null)::int as survived
          from migrations m
          left join decisions d on m.cause = 'decision/' || d.id
          left join signals s on s.id = d.signal_id`.execute(db);
        return {
          at: timestampFromMs(nowMs()),
          nodes: await nodeCounts(db, sessions.connectedNodes().length),
          workloads: await counts("workloads", "state"),
          certificates: await counts("certificates", "verdict"),
          migrationsUnderWay: moves.rows[0]?.running ?? 0,
          interruptionsSurvived: moves.rows[0]?.survived ?? 0,
          nodeId: worst?.nodeId ?? "",
          ...(worst === undefined ? {} : { assessment: worst.assessment }),
          ...(newest === undefined ? {} : { telemetry: newest }),
        };
      },
      async getDashboardHistory({ limit, nodeId: wanted }) {
        if (limit > mostPoints) throw fault("INVALID_ARGUMENT", `limit is at most ${mostPoints}`, { field: "limit" });
        const nodeId = wanted === "" ? ((await endangered())?.nodeId ?? "") : parseNodeId(wanted, "node_id");
        if (nodeId === "") return {};
        const rows = await db
          .selectFrom("assessment_history")
          .select(["at", "body"])
          .where("subject", "=", `node/${nodeId}`)
          .orderBy("id", "desc")
          .limit(limit || 20)
          .execute();
        const oldest = rows.at(-1)?.at;
        const measured = oldest === undefined ? [] : await readNodeSamples(db, nodeId, oldest.getTime() - nearMs);
        const points = rows.toReversed().map(({ at, body }) => {
          const near = measured
            .map((sample) => ({
              sample,
              apartMs: sample.at === undefined ? Number.POSITIVE_INFINITY : Math.abs(timestampMs(sample.at) - at.getTime()),
            }))
            .reduce<{ sample: (typeof measured)[number]; apartMs: number } | undefined>(
              (best, each) => (best === undefined || each.apartMs < best.apartMs ? each : best),
              undefined,
            );
          return {
            at: timestampFromMs(at.getTime()),
            assessment: fromColumn(AssessmentSchema, body),
            ...(near === undefined || near.apartMs > nearMs ? {} : { telemetry: near.sample }),
          };
        });
        return { nodeId, points };
      },
    });
  };
}

async function nodeCounts(db: Db, connected: number): Promise<Record<string, number>> {
  const { rows } = await sql<{ all: number; lost: number; cordoned: number; interrupted: number }>`
    select count(*)::int as all, count(*) filter (where lost_at is not null)::int as lost,
      count(*) filter (where is_cordoned)::int as cordoned, count(*) filter (where interruption_at is not null)::int as interrupted from nodes`.execute(
    db,
  );
  return { connected, ...(rows[0] ?? {}) };
}
