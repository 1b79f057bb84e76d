// What agents do about a notice while nobody can be asked: each has a signed plan on its disk, made here, with names of snapshots that are known here.
// When the agent is heard again its answers come like those of commands, and are taken over: the snapshot into the catalogue, the act into the
// decisions. Nothing is placed by a reflex, so nothing can be placed twice.
import { CommandOutcome, type CommandResult, ReflexPlanSchema, SignedBytesSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { ErrorDetailSchema } from "@aether/contract/gen/aether/v2/common_pb";
import { ManifestSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { type Logger, sleep } from "@aether/kit";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { sql } from "kysely";
import { z } from "zod";
import type { Audit } from "../audit/audit.ts";
import type { Db } from "../db/database.ts";
import { toColumn } from "../db/proto.ts";
import { recordOwnDecision } from "../decision/own.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { newId } from "../ids.ts";
import type { Part } from "../part.ts";
import { readPoliciesInForce } from "../policy/in-force.ts";
import type { SnapshotKeys } from "../snapshot/keys.ts";

export interface ReflexOptions {
  readonly db: Db;
  readonly events: Events;
  readonly audit: Pick<Audit, "record">;
  readonly sessions: Pick<AgentSessions, "connectedNodes" | "onHello" | "sendPlan" | "onUnknownResult">;
  readonly sign: (purpose: string, content: Uint8Array<ArrayBuffer>) => MessageInitShape<typeof SignedBytesSchema>;
  readonly snapshotKeys: Pick<SnapshotKeys, "of">;
  readonly nowMs: () => number;
  readonly log: Logger;
}

const steps = z.array(z.object({ workload: z.string(), epoch: z.number(), snapshotId: z.string(), priority: z.number() })).catch([]);
export type ReflexStepRow = z.infer<typeof steps>[number];

interface NewPlan {
  readonly nodeId: string;
  readonly version: number;
  readonly now: readonly ReflexStepRow[];
}

const lookEveryMs = 5_000;
/** Looking may take this share of the time at most: at a large fleet it is done less often. A plan is good for long. */
const busyShare = 0.05;
/** Plans that are written in one statement, and signed before others have their turn. */
const plansAtOnce = 100;
/** A plan is good for this long after it has arrived; it is renewed at half of it. */
const validForMs = 30 * 60_000;

export const reflexCommandId = (snapshotId: string): string => `reflex-${snapshotId}`;

/** The plan that the node was last given. */
export async function readReflexSteps(db: Db, nodeId: string): Promise<ReflexStepRow[]> {
  const row = await db.selectFrom("reflex_plans").select("steps").where("node_id", "=", nodeId).executeTakeFirst();
  return row === undefined ? [] : steps.parse(row.steps);
}

export function createReflex({
  db,
  events,
  audit,
  sessions,
  sign,
  snapshotKeys,
  nowMs,
  log,
}: ReflexOptions): Part & { stop(): Promise<void> } {
  const stopping = new AbortController();
  const ends: (() => void)[] = [];
  let loop: Promise<void> = Promise.resolve();
  /** Nodes of a new session: they may have another plan on their disk, or none. */
  const fresh = new Set<string>();

  async function look(): Promise<void> {
    const nodeIds = sessions.connectedNodes();
    if (nodeIds.length === 0) return;
    const placed = await db
      .selectFrom("placements")
      .innerJoin("workloads", "workloads.name", "placements.workload")
      .select(["workloads.name", "placements.node_id", "placements.epoch"])
      .select([
        sql<number>`coalesce((workloads.spec->'evacuation'->>'priority')::integer, 0)`.as("priority"),
        sql<Record<string, string>>`coalesce(workloads.spec->'labels', '{}')`.as("labels"),
      ])
      .where("placements.is_active", "=", true)
      .where("workloads.state", "in", ["running", "migrating"])
      .orderBy("workloads.name")
      .execute();
    const inForce = await readPoliciesInForce(db);
    const known = new Map((await db.selectFrom("reflex_plans").selectAll().execute()).map((row) => [row.node_id, row]));
    const connected = new Set(nodeIds);
    const byNode = new Map<string, typeof placed>();
    for (const row of placed) {
      if (!connected.has(row.node_id)) continue;
      const own = byNode.get(row.node_id) ?? [];
      own.push(row);
      byNode.set(row.node_id, own);
    }
    const priorityOf = ({ labels, priority }: (typeof placed)[number]) =>
      inForce.of({ labels, rpoSeconds: 0, evacuation: { priority } }).priority.value;
    const due: NewPlan[] = [];
    for (const nodeId of nodeIds) {
      const before = known.get(nodeId);
      const had = steps.parse(before?.steps ?? []);
      const now = (byNode.get(nodeId) ?? []).map((row): ReflexStepRow => {
        const epoch = Number(row.epoch);
        const same = had.find((step) => step.workload === row.name && step.epoch === epoch);
        // The name stays as long as the placement does: whichever plan the agent acts by, core knows it.
        return { workload: row.name, epoch, snapshotId: same?.snapshotId ?? newId("snap", nowMs()), priority: priorityOf(row) };
      });
      const isSame = JSON.stringify(had) === JSON.stringify(now);
      const isOld = before === undefined || nowMs() - before.sent_at.getTime() > validForMs / 2;
      if (isSame && !isOld && !fresh.has(nodeId)) continue;
      due.push({ nodeId, version: Math.max(nowMs(), Number(before?.version ?? 0) + 1), now });
    }
    for (let from = 0; from < due.length; from += plansAtOnce) {
      const some = due.slice(from, from + plansAtOnce);
      await keep(some);
      for (const plan of some) {
        give(plan);
        fresh.delete(plan.nodeId);
      }
    }
  }

  /** On record before any agent has it: core must know the names by which it acts. */
  async function keep(plans: readonly NewPlan[]): Promise<void> {
    await db
      .insertInto("reflex_plans")
      .values(
        plans.map(({ nodeId, version, now }) => ({ node_id: nodeId, version, sent_at: new Date(nowMs()), steps: JSON.stringify(now) })),
      )
      .onConflict((conflict) =>
        conflict.column("node_id").doUpdateSet((eb) => ({
          version: eb.ref("excluded.version"),
          sent_at: eb.ref("excluded.sent_at"),
          steps: eb.ref("excluded.steps"),
        })),
      )
      .execute();
  }

  function give({ nodeId, version, now }: NewPlan): void {
    const plan = create(ReflexPlanSchema, {
      nodeId,
      version: BigInt(version),
      validFor: durationFromMs(validForMs),
      steps: now.map(({ workload, epoch, snapshotId, priority }) => ({
        workload,
        epoch: BigInt(epoch),
        priority,
        createSnapshot: { snapshotId, key: snapshotKeys.of(workload) },
      })),
    });
    sessions.sendPlan(nodeId, create(SignedBytesSchema, sign("reflex-plan", toBinary(ReflexPlanSchema, plan))));
  }

  /** An answer to something that was never sent: a reflex, if its name is in the node's plan. */
  async function adopt(nodeId: string, result: CommandResult): Promise<boolean> {
    const step = (await readReflexSteps(db, nodeId)).find(({ snapshotId }) => reflexCommandId(snapshotId) === result.commandId);
    if (step === undefined) return false;
    await recordReflex({ db, events, audit, nowMs }, nodeId, step, result);
    log.info({ nodeId, workload: step.workload, snapshot: step.snapshotId, outcome: CommandOutcome[result.outcome] }, "reflex.adopted");
    return true;
  }

  return {
    async start(signal) {
      const life = AbortSignal.any([signal, stopping.signal]);
      ends.push(
        sessions.onHello((nodeId) => void fresh.add(nodeId)),
        sessions.onUnknownResult(adopt),
      );
      loop = (async () => {
        while (!life.aborted) {
          const startedMs = performance.now();
          await look().catch((caught: unknown) => {
            if (!life.aborted) log.error({ err: caught }, "reflex.plans_failed");
          });
          await sleep(Math.max(lookEveryMs, (performance.now() - startedMs) / busyShare), life).catch(() => undefined);
        }
      })();
    },
    async stop() {
      stopping.abort();
      for (const end of ends.splice(0)) end();
      await loop;
    },
  };
}

/**
 * When the state was taken, which is what tells it from newer and older snapshots: not when somebody heard of it. By the agent's own phases, else not later than
 * the node was to be gone, else since when it was not heard.
 */
function takenAtOf(
  { phases }: Pick<CommandResult, "phases">,
  node: { readonly lost_at: Date | null; readonly interruption_at: Date | null } | undefined,
  nowMs: number,
): Date {
  const startedAt = phases.find((phase) => phase.startedAt !== undefined)?.startedAt;
  const atMs = startedAt === undefined ? (node?.interruption_at ?? node?.lost_at)?.getTime() : timestampMs(startedAt);
  return new Date(Math.min(nowMs, atMs ?? nowMs));
}

/** The snapshot into the catalogue, and the act into the decisions and the audit. Safe to repeat. */
export async function recordReflex(
  { db, events, audit, nowMs }: Pick<ReflexOptions, "db" | "events" | "audit" | "nowMs">,
  nodeId: string,
  step: ReflexStepRow,
  result: Pick<CommandResult, "outcome" | "facts" | "error" | "phases">,
): Promise<void> {
  const facts = result.facts.case === "snapshot" ? result.facts.value : undefined;
  const isReady = result.outcome === CommandOutcome.OK;
  await db.transaction().execute(async (tx) => {
    const workload = await tx.selectFrom("workloads").select("spec").where("name", "=", step.workload).executeTakeFirst();
    const node = await tx.selectFrom("nodes").select(["lost_at", "interruption_at"]).where("id", "=", nodeId).executeTakeFirst();
    const takenAt = takenAtOf(result, node, nowMs());
    const decisionId = newId("dec", nowMs());
    const added = await tx
      .insertInto("snapshots")
      .values({
        id: step.snapshotId,
        workload: step.workload,
        spec: JSON.stringify(workload?.spec ?? {}),
        state: isReady ? "ready" : "failed",
        node_id: nodeId,
        epoch: step.epoch,
        created_at: takenAt,
        bytes: Number(facts?.bytes ?? 0n),
        freeze_ms: facts?.freezeMs ?? 0,
        manifest: facts?.manifest === undefined ? null : toColumn(ManifestSchema, facts.manifest),
        error: isReady ? null : toColumn(ErrorDetailSchema, result.error ?? create(ErrorDetailSchema, { code: "INTERNAL" })),
        cause: `decision/${decisionId}`,
      })
      .onConflict((conflict) => conflict.column("id").doNothing())
      .returning("id")
      .executeTakeFirst();
    if (added === undefined) return;
    const reason = isReady
      ? `${nodeId} heard a notice while the control plane was away, and kept ${step.workload} in ${step.snapshotId}`
      : `${nodeId} heard a notice while the control plane was away, and could not keep ${step.workload}: ${result.error?.message ?? "no reason"}`;
    const decided = {
      id: decisionId,
      nodeId,
      action: "snapshot",
      rule: "reflex",
      reason,
      ruleVersion: "reflex/1",
      inputs: [
        { name: "control plane", value: "not reachable" },
        { name: "epoch in the signed plan", value: String(step.epoch) },
        { name: "state of", value: takenAt.toISOString() },
      ],
      alternatives: ["a move without the control plane: two owners could come of it, so none is made"],
      moves: [
        {
          workload: step.workload,
          action: "snapshot",
          snapshotId: step.snapshotId,
          refusal: isReady ? "its state is kept; nobody could decide a move" : (result.error?.message ?? ""),
        },
      ],
    } as const;
    await recordOwnDecision(tx, audit, decided, nowMs());
    await events.append(tx, {
      type: isReady ? "reflex.snapshot" : "reflex.failed",
      subject: `node/${nodeId}`,
      message: reason,
      data: { workload: step.workload, snapshotId: step.snapshotId, decisionId },
    });
  });
}
