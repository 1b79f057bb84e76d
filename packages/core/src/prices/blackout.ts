// What moves cost, summed by the database over every move of a time: a page that adds up the last hundred would be wrong after a bad night.
import type { Blackout } from "@aether/contract/gen/aether/v2/blackout_pb";
import { BlackoutSchema } from "@aether/contract/gen/aether/v2/blackout_pb";
import { create } from "@bufbuild/protobuf";
import { sql } from "kysely";
import type { Db } from "../db/database.ts";

export interface WorkloadMoves {
  readonly count: number;
  readonly frozenMs: number;
}

interface MovesRow {
  readonly workload: string;
  readonly moves: number;
  readonly frozen_ms: number;
  readonly longest_ms: number;
  readonly unmeasured: number;
  readonly rolled_back: number;
}

interface NoticesRow {
  readonly is_rehearsed: boolean;
  readonly notices: number;
  readonly survived: number;
}

/** Moves that ended after `fromMs`, by workload/NAME and in all; and the notices of that time. */
export async function readBlackout(db: Db, fromMs: number): Promise<{ blackout: Blackout; moves: Map<string, WorkloadMoves> }> {
  const from = new Date(fromMs);
  const moved = await sql<MovesRow>`
    select workload,
      count(*) filter (where state = 'done')::float8 as moves,
      coalesce(sum((receipt->>'freezeMs')::float8) filter (where state = 'done'), 0)::float8 as frozen_ms,
      coalesce(max((receipt->>'freezeMs')::float8) filter (where state = 'done'), 0)::float8 as longest_ms,
      count(*) filter (where state = 'done' and receipt->>'freezeMs' is null)::float8 as unmeasured,
      count(*) filter (where state = 'rolled_back')::float8 as rolled_back
    from migrations where ended_at > ${from} group by workload`.execute(db);
  // Survived: every workload that the decision named has left the node since.
  const heard = await sql<NoticesRow>`
    select is_rehearsed, count(*)::float8 as notices, count(*) filter (where has_left)::float8 as survived from (
      select exists (select from drills where drills.signal_id = signals.id) as is_rehearsed,
        not exists (
          select from decisions, jsonb_array_elements(decisions.moves) as move
          where decisions.signal_id = signals.id and not exists (
            select from migrations where migrations.workload = move->>'workload' and migrations.source_node_id = signals.node_id
              and migrations.state = 'done' and migrations.ended_at >= signals.received_at)
        ) as has_left
      from signals where kind = 'notice' and received_at > ${from}
        and exists (select from decisions where decisions.signal_id = signals.id)
    ) as notices group by is_rehearsed`.execute(db);
  const real = heard.rows.find(({ is_rehearsed }) => !is_rehearsed);
  const rehearsed = heard.rows.find(({ is_rehearsed }) => is_rehearsed);
  const sum = (of: (row: MovesRow) => number) => moved.rows.reduce((total, row) => total + of(row), 0);
  return {
    moves: new Map(moved.rows.map((row) => [`workload/${row.workload}`, { count: row.moves, frozenMs: row.frozen_ms }])),
    blackout: create(BlackoutSchema, {
      moves: BigInt(sum((row) => row.moves)),
      frozenMs: sum((row) => row.frozen_ms),
      longestFreezeMs: Math.max(0, ...moved.rows.map((row) => row.longest_ms)),
      unmeasured: BigInt(sum((row) => row.unmeasured)),
      rolledBack: BigInt(sum((row) => row.rolled_back)),
      interruptions: BigInt(real?.notices ?? 0),
      survived: BigInt(real?.survived ?? 0),
      rehearsed: BigInt(rehearsed?.notices ?? 0),
      rehearsalsSurvived: BigInt(rehearsed?.survived ?? 0),
    }),
  };
}
