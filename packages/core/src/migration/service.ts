// MigrationService: from requests to the domain and back.
import { fault, isFaultCode, parseNodeId, parseWorkloadName } from "@aether/contract";
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { Keep, type Migration, MigrationMode, MigrationService, ReceiptSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { type Logger, withDeadline } from "@aether/kit";
import type { IdentitySource } from "@aether/kit/identity";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import type { RailLimits } from "../guard/rails.ts";
import { callerOf } from "../http/caller.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { newId } from "../ids.ts";
import { hostClocks } from "./clocks.ts";
import { countersign } from "./countersign.ts";
import { modeFromProto } from "./mode.ts";
import { readPairRates } from "./rates.ts";
import type { Reconciler } from "./reconcile.ts";
import type { Settler } from "./settle.ts";
import { requirePlaced, startMigration } from "./start.ts";
import { type Mode, nodeOf, type Side } from "./state.ts";
import { steps } from "./steps/index.ts";
import { preflightOf } from "./steps/preflight.ts";
import { readCommands, toMigration } from "./store.ts";

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

export function addMigrationRoutes(router: ConnectRouter, parts: MigrationServiceParts): void {
  const { db, reconciler, settler, sessions, nowMs } = parts;

  const read = async (id: string): Promise<Row<"migrations">> => {
    const row = await db.selectFrom("migrations").selectAll().where("id", "=", id).executeTakeFirst();
    if (row === undefined) throw fault("MIGRATION_NOT_FOUND", `there is no migration ${JSON.stringify(id.slice(0, 60))}`, { field: "id" });
    return row;
  };
  const requireNode = async (id: string) => {
    const row = await db.selectFrom("nodes").select("facts").where("id", "=", id).executeTakeFirst();
    if (row === undefined) throw fault("NODE_NOT_FOUND", `there is no node ${JSON.stringify(id)}`, { field: "target_node_id" });
    return fromColumn(NodeFactsSchema, row.facts);
  };
  const show = (row: Row<"migrations">): Migration => toMigration(row, reconciler.livePhases(row.id), reconciler.liveMemory(row.id));

  const showOnOneClock = async (row: Row<"migrations">): Promise<Migration> => {
    const sides = { sourceNodeId: row.source_node_id, targetNodeId: row.target_node_id };
    const clocks = hostClocks(await readCommands(db, row.id), ({ step }) => nodeOf(sides, steps[step].side));
    return { ...show(row), clocks };
  };

  router.service(MigrationService, {
    async startMigration(request, context) {
      const caller = callerOf(context);
      const asked = parseAsked(request);
      // A mode that is asked for and cannot be had is said at once: nothing is on record yet.
      if (asked.mode !== "auto") await requireMode(asked, context);
      const { withinMs, ...rest } = asked;
      const id = await startMigration(parts, {
        ...rest,
        cause: "operator",
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
      return { migration: await showOnOneClock(await read(id)) };
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
      throw fault("MIGRATION_NOT_FOUND", `${id} has no receipt: it is ${row.state.replaceAll("_", " ")} and nothing was committed`, {
        field: "id",
      });
    },
    async settleMigration({ id, keep, preview, otherNodeIsDead }, context) {
      const request = { id, keep: parseKeep(keep), otherNodeIsDead, actor: callerOf(context).actor };
      const plan = preview ? await settler.preview(request) : await settler.settle(request);
      return { migration: show(await read(id)), consequences: [...plan.consequences] };
    },
    async preflightWorkload(request, context) {
      return { report: await preflight(parseAsked(request), context) };
    },
  });

  /** Throws MODE_UNAVAILABLE with the next best mode. Other blockers are for the move's own preflight, which is on record. */
  async function requireMode(asked: Asked, context: HandlerContext): Promise<void> {
    const { blockers } = await preflight(asked, context);
    const blocker = blockers.find((each) => each.subject === "mode");
    if (blocker === undefined) return;
    throw fault("MODE_UNAVAILABLE", blocker.message, { field: "mode", hint: blocker.mend, details: { [blocker.code]: blocker.mend } });
  }

  async function preflight({ workload: name, targetNodeId, mode, withinMs }: Asked, context: HandlerContext) {
    const { workload, placement } = await requirePlaced(db, name);
    const target = targetNodeId === undefined ? undefined : await requireNode(targetNodeId);
    const rates = await readPairRates(db, name, placement.node_id, targetNodeId ?? "", nowMs());
    const caller = callerOf(context);
    const command = {
      id: newId("cmd", nowMs()),
      workload: workload.name,
      epoch: BigInt(placement.epoch),
      traceparent: caller.traceparent,
      action: { case: "preflight" as const, value: preflightOf(mode, target?.capabilities, rates, withinMs) },
    };
    const result = await withDeadline(
      `the preflight of ${name} on ${placement.node_id}`,
      steps.preflight.deadlineMs,
      (signal) => sessions.send(placement.node_id, command, signal),
      context.signal,
    );
    if (result.outcome === CommandOutcome.OK && result.facts.case === "preflight") return result.facts.value;
    const code = result.error?.code ?? "";
    throw fault(isFaultCode(code) ? code : "UNAVAILABLE", result.error?.message ?? `${placement.node_id} did not answer the preflight`);
  }
}

/** What a move, or a look at one, asks for. */
interface Asked {
  readonly workload: string;
  readonly targetNodeId: string | undefined;
  readonly mode: Mode;
  readonly withinMs: number | undefined;
}

function parseAsked(request: { workload: string; targetNodeId: string; mode: MigrationMode; withinSeconds: number }): Asked {
  if (request.withinSeconds > 86_400) throw fault("INVALID_ARGUMENT", "within_seconds must be 0 to 86400", { field: "within_seconds" });
  return {
    workload: parseWorkloadName(request.workload, "workload"),
    targetNodeId: request.targetNodeId === "" ? undefined : parseNodeId(request.targetNodeId, "target_node_id"),
    mode: parseMode(request.mode),
    withinMs: request.withinSeconds === 0 ? undefined : request.withinSeconds * 1000,
  };
}

/** A number that is none of the modes is refused, never taken for AUTO. */
function parseMode(mode: MigrationMode): Mode {
  const known = modeFromProto(mode);
  if (known !== undefined) return known;
  const names = Object.values(MigrationMode).filter((value) => typeof value === "string" && value !== "UNSPECIFIED");
  throw fault("INVALID_ARGUMENT", `mode must be one of ${names.join(", ")}, not ${mode}`, { field: "mode" });
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
      await new Promise((resolve) => setTimeout(resolve, watchEveryMs));
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", wake);
  }
}
