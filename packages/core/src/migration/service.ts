// MigrationService: from requests to the domain and back.
import { fault, parseWorkloadName } from "@aether/contract";
import { Keep, type Migration, MigrationService, MigrationState, ReceiptSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import type { Logger } from "@aether/kit";
import type { IdentitySource } from "@aether/kit/identity";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import type { RailLimits } from "../guard/rails.ts";
import { callerOf } from "../http/caller.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { askPreflight, parseAsked, requireMode } from "./ask.ts";
import { hostClocks } from "./clocks.ts";
import { countersign } from "./countersign.ts";
import type { Reconciler } from "./reconcile.ts";
import type { Settler } from "./settle.ts";
import { startMigration } from "./start.ts";
import { nodeOf, type Side } from "./state.ts";
import { steps } from "./steps/index.ts";
import { readCandidates, readCommands, toMigration } from "./store.ts";

export interface MigrationServiceParts {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: AgentSessions;
  readonly reconciler: Reconciler;
  /** Core's own: receipts are countersigned with it. */
  readonly identity: IdentitySource;
  readonly settler: Settler;
  readonly limits: RailLimits;
  readonly log: Logger;
  readonly nowMs: () => number;
}

/** Phases go by in bursts: a watcher is told at most this often. */
const watchEveryMs = 50;
/** Reading for a watcher takes its time in the database, and in a freeze the commit would wait for it. */
const watchFrozenMs = 250;
const frozenStates: ReadonlySet<MigrationState> = new Set([MigrationState.FREEZING, MigrationState.RESTORING, MigrationState.VERIFYING]);

export function addMigrationRoutes(router: ConnectRouter, parts: MigrationServiceParts): void {
  const { db, reconciler, settler, nowMs } = parts;

  const read = async (id: string): Promise<Row<"migrations">> => {
    const row = await db.selectFrom("migrations").selectAll().where("id", "=", id).executeTakeFirst();
    if (row === undefined) throw fault("MIGRATION_NOT_FOUND", `there is no migration ${JSON.stringify(id.slice(0, 60))}`, { field: "id" });
    return row;
  };
  const show = (row: Row<"migrations">): Migration => toMigration(row, reconciler.livePhases(row.id), reconciler.liveMemory(row.id));

  const showOnOneClock = async (row: Row<"migrations">): Promise<Migration> => {
    const sides = { sourceNodeId: row.source_node_id, targetNodeId: row.target_node_id };
    const commands = reconciler.commandsInHand(row.id) ?? (await readCommands(db, row.id));
    const clocks = hostClocks(commands, ({ step }) => nodeOf(sides, steps[step].side));
    return { ...show(row), clocks };
  };

  router.service(MigrationService, {
    async startMigration(request, context) {
      const caller = callerOf(context);
      const asked = parseAsked(request);
      await requireMode(parts, asked, caller.traceparent, context.signal);
      const { withinMs, ...rest } = asked;
      const id = await startMigration(parts, {
        ...rest,
        cause: caller.cause ?? "operator",
        traceId: caller.traceId,
        ...(withinMs === undefined ? {} : { deadlineAtMs: nowMs() + withinMs }),
      });
      reconciler.wake(id);
      return { migration: show(await read(id)) };
    },
    async listMigrations({ page, workload, activeOnly }) {
      const { limit, after } = parsePage(page);
      let query = db
        .selectFrom("migrations")
        .selectAll()
        .orderBy("id", "desc")
        .limit(limit + 1);
      if (after !== undefined) query = query.where("id", "<", after);
      if (workload !== "") query = query.where("workload", "=", parseWorkloadName(workload, "workload"));
      if (activeOnly) query = query.where("ended_at", "is", null);
      const { rows, nextPageToken } = cutPage(await query.execute(), limit, (row) => row.id);
      return { migrations: rows.map(show), nextPageToken };
    },
    async getMigration({ id }) {
      const row = await read(id);
      return { migration: { ...(await showOnOneClock(row)), candidates: await readCandidates(db, row) } };
    },
    async *watchMigration({ id }, context) {
      for await (const migration of watch(parts, id, context.signal, async () => showOnOneClock(await read(id)))) yield { migration };
    },
    async cancelMigration({ id }, context) {
      const row = await read(id);
      if (row.ended_at !== null) {
        if (row.epoch_after === null) return { migration: show(row) };
        throw fault("MIGRATION_PAST_COMMIT", `${id} has ended; its commit was made`, { field: "id" });
      }
      await reconciler.cancel(id, callerOf(context).actor);
      return { migration: show(await read(id)) };
    },
    async getReceipt({ id }) {
      const row = await read(id);
      if (row.receipt !== null) {
        const receipt = fromColumn(ReceiptSchema, row.receipt);
        const identity = parts.identity.current();
        // What may still change is not countersigned.
        const signed = row.ended_at === null ? receipt : countersign(receipt, identity, nowMs());
        return { receipt: signed, trustBundlePem: identity.trustBundlePem };
      }
      const why = row.epoch_after === null ? "nothing was committed" : "its target has not answered yet";
      throw fault("MIGRATION_NOT_FOUND", `${id} has no receipt: it is ${row.state.replaceAll("_", " ")} and ${why}`, { field: "id" });
    },
    async settleMigration({ id, keep, preview, otherNodeIsDead }, context) {
      const request = { id, keep: parseKeep(keep), otherNodeIsDead, actor: callerOf(context).actor };
      const plan = preview ? await settler.preview(request) : await settler.settle(request);
      return { migration: show(await read(id)), consequences: [...plan.consequences] };
    },
    async preflightWorkload(request, context) {
      return { report: await askPreflight(parts, parseAsked(request), callerOf(context).traceparent, context.signal) };
    },
  });
}

function parseKeep(keep: Keep): Side {
  if (keep === Keep.SOURCE) return "source";
  if (keep === Keep.TARGET) return "target";
  throw fault("INVALID_ARGUMENT", "keep must be KEEP_SOURCE or KEEP_TARGET", { field: "keep" });
}

/** The present state, then one message after every change, the last one when it has ended. */
async function* watch(
  parts: MigrationServiceParts,
  id: string,
  signal: AbortSignal,
  read: () => Promise<Migration>,
): AsyncIterable<Migration> {
  let changed = Promise.withResolvers<void>();
  const wake = () => changed.resolve();
  const unsubscribe = parts.reconciler.onChange((each) => {
    if (each === id) wake();
  });
  signal.addEventListener("abort", wake, { once: true });
  try {
    while (!signal.aborted) {
      changed = Promise.withResolvers<void>();
      const migration = await read();
      yield migration;
      if (migration.endedAt !== undefined) return;
      await changed.promise;
      await new Promise((resolve) => setTimeout(resolve, frozenStates.has(migration.state) ? watchFrozenMs : watchEveryMs));
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", wake);
  }
}
