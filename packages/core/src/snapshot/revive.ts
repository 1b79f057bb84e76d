// A workload whose node died with it comes back from its newest snapshot on another node, if it says so (on_node_lost) and if the node is known to be
// dead: heartbeats alone do not tell, a node that is cut off may run on. What counts is an announced interruption whose time is over while the node is
// not heard, or somebody's word (fleet/declare-dead.ts). The old placement ends with the same transaction, so a copy that comes back all the same is stale and is removed.
// So does one that was being restored there: it begins anew elsewhere, and what may be half of it on the dead node is of an older epoch.
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { OnNodeLost, WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { type Logger, sleep } from "@aether/kit";
import type { Audit } from "../audit/audit.ts";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import { recordOwnDecision } from "../decision/own.ts";
import type { Events } from "../events/events.ts";
import { isDead } from "../fleet/declare-dead.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { newId } from "../ids.ts";
import type { Part } from "../part.ts";
import { readPoliciesInForce } from "../policy/in-force.ts";
import { readReflexSteps, recordReflex } from "../reflex/reflex.ts";
import type { Converge } from "../workload/converge.ts";
import type { Offers } from "../workload/offers.ts";
import { lockInEpoch, placeNext } from "../workload/store.ts";
import { fallBack, revivedFrom } from "./fall-back.ts";

export interface ReviveOptions {
  readonly db: Db;
  readonly events: Events;
  readonly audit: Pick<Audit, "record">;
  readonly sessions: AgentSessions;
  readonly offers: Offers;
  readonly converge: Pick<Converge, "converge">;
  readonly nowMs: () => number;
  readonly log: Logger;
  /** Default 5000. */
  readonly sweepMs?: number;
}

interface Lost {
  readonly name: string;
  readonly nodeId: string;
  readonly epoch: number;
  readonly state: "lost" | "starting";
  /** Of one that a person was restoring: the snapshot, which is not replaced by another. */
  readonly from: string | undefined;
  readonly why: string;
  /** Its spec or a policy. */
  readonly restoreSaidBy: string;
}

const verifyDeadlineMs = 120_000;

export function createRevive(options: ReviveOptions): Part & { stop(): Promise<void>; sweep(): Promise<string[]> } {
  const { db, events, audit, sessions, nowMs, log, sweepMs = 5_000 } = options;
  const stopping = new AbortController();
  let loop: Promise<void> = Promise.resolve();

  async function sweep(): Promise<string[]> {
    const rows = await db
      .selectFrom("workloads")
      .innerJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
      .innerJoin("nodes", "nodes.id", "placements.node_id")
      .select(["workloads.name", "workloads.spec", "workloads.state", "workloads.snapshot_id"])
      .select(["placements.node_id", "placements.epoch", "placements.cause"])
      .select(["nodes.lost_at", "nodes.interruption_at", "nodes.declared_dead_at"])
      // One that was started without a snapshot has none of this life: what is in the store is of another.
      .where((eb) =>
        eb.or([
          eb("workloads.state", "=", "lost"),
          eb.and([eb("workloads.state", "=", "starting"), eb("workloads.snapshot_id", "is not", null)]),
        ]),
      )
      .where("workloads.desired", "=", "running")
      .where("workloads.migration_id", "is", null)
      .where("nodes.lost_at", "is not", null)
      .orderBy("workloads.name")
      .execute();
    const revived: string[] = [];
    const inForce = await readPoliciesInForce(db);
    for (const row of rows) {
      const spec = fromColumn(WorkloadSpecSchema, row.spec);
      const { onNodeLost } = inForce.of(spec);
      if (!isDead(row, nowMs()) || onNodeLost.value !== OnNodeLost.RESTORE || sessions.isConnected(row.node_id)) continue;
      const lost = {
        name: row.name,
        nodeId: row.node_id,
        epoch: Number(row.epoch),
        state: row.state === "starting" ? row.state : ("lost" as const),
        from: row.state === "lost" || row.cause.startsWith(revivedFrom) ? undefined : (row.snapshot_id ?? undefined),
        memoryLimitBytes: Number(spec.memoryLimitBytes),
        restoreSaidBy: onNodeLost.source,
        why:
          row.declared_dead_at === null
            ? `was announced to go at ${row.interruption_at?.toISOString()} and is not heard since`
            : `was declared dead at ${row.declared_dead_at.toISOString()}`,
      };
      if (await revive(lost).catch((caught: unknown) => void log.warn({ err: caught, workload: row.name }, "revive.waits")))
        revived.push(row.name);
    }
    for (const name of await fallBack(db, events)) goOn(name);
    return revived;
  }

  async function revive(lost: Lost & { readonly memoryLimitBytes: number }): Promise<boolean> {
    if (lost.state === "lost") await lookForReflex(lost.name, lost.nodeId, lost.epoch);
    const snapshots = db.selectFrom("snapshots").selectAll().where("workload", "=", lost.name).where("state", "=", "ready");
    const chosen = lost.from === undefined ? snapshots : snapshots.where("id", "=", lost.from);
    const snapshot = await chosen.orderBy("epoch", "desc").orderBy("created_at", "desc").limit(1).executeTakeFirst();
    if (snapshot === undefined) return false;
    const target = await options.offers.place("", { memoryLimitBytes: lost.memoryLimitBytes });
    if (!(await place(lost, snapshot, target))) return false;
    log.warn({ workload: lost.name, snapshot: snapshot.id, from: lost.nodeId, to: target }, "revive.begun");
    goOn(lost.name);
    return true;
  }

  /** The converging goes on by itself whatever this call sees of it. */
  function goOn(workload: string): void {
    options.converge.converge(workload, stopping.signal).catch((caught: unknown) => log.warn({ err: caught, workload }, "revive.failed"));
  }

  /** A snapshot that the node made by its reflex in its last seconds is in the store, and nobody has told us. */
  async function lookForReflex(workload: string, nodeId: string, epoch: number): Promise<void> {
    const step = (await readReflexSteps(db, nodeId)).find((each) => each.workload === workload && each.epoch === epoch);
    const reader = sessions.connectedNodes().find((id) => id !== nodeId);
    if (step === undefined || reader === undefined) return;
    const known = await db.selectFrom("snapshots").select("id").where("id", "=", step.snapshotId).executeTakeFirst();
    if (known !== undefined) return;
    const row = await db.selectFrom("workloads").select("spec").where("name", "=", workload).executeTakeFirstOrThrow();
    const action = {
      case: "verifySnapshot" as const,
      value: { snapshotId: step.snapshotId, spec: fromColumn(WorkloadSpecSchema, row.spec) },
    };
    const result = await sessions.send(
      reader,
      { id: newId("cmd"), workload, action },
      AbortSignal.any([stopping.signal, AbortSignal.timeout(verifyDeadlineMs)]),
    );
    if (result.outcome === CommandOutcome.OK)
      await recordReflex({ db, events, audit, nowMs }, nodeId, step, {
        outcome: CommandOutcome.OK,
        facts: { case: undefined },
        phases: [],
      });
  }

  async function place(lost: Lost, snapshot: Row<"snapshots">, target: string): Promise<boolean> {
    return db.transaction().execute(async (tx) => {
      // A node that is heard in this very moment is not dead: it says so before this, or finds its copy out of date after it.
      const node = await tx.selectFrom("nodes").select("lost_at").where("id", "=", lost.nodeId).forUpdate().executeTakeFirst();
      if (node === undefined || node.lost_at === null) return false;
      if ((await lockInEpoch(tx, lost))?.state !== lost.state) return false;
      await tx
        .updateTable("workloads")
        .set({
          state: "starting",
          snapshot_id: snapshot.id,
          reason: `its node ${lost.nodeId} died${lost.state === "lost" ? "" : " while it was restored there"}; it is restored from ${snapshot.id}`,
          exit_code: null,
        })
        .where("name", "=", lost.name)
        .execute();
      const epoch = await placeNext(tx, lost.name, target, `${revivedFrom}${snapshot.id}`, lost.epoch + 1);
      const ageSeconds = Math.round((nowMs() - snapshot.created_at.getTime()) / 1000);
      const anew = lost.state === "lost" ? "is restored" : "was being restored there, and is anew";
      const reason = `${lost.nodeId} ${lost.why}: ${lost.name} ${anew} on ${target} from ${snapshot.id}, as it was ${ageSeconds} s ago`;
      const decided = {
        id: newId("dec", nowMs()),
        nodeId: lost.nodeId,
        action: "restore",
        rule: "node-dead-restore",
        ruleVersion: "revive/1",
        reason,
        inputs: [
          { name: "node", value: lost.why },
          { name: "policy of the workload", value: `restore when its node is lost (${lost.restoreSaidBy})` },
          { name: lost.from === undefined ? "newest snapshot" : "snapshot that was chosen", value: `${snapshot.id}, ${ageSeconds} s old` },
        ],
        alternatives: ["wait for the node: it is gone", `another snapshot: aether snapshots ${lost.name}`],
        moves: [{ workload: lost.name, targetNodeId: target, action: "restore", snapshotId: snapshot.id }],
      } as const;
      await recordOwnDecision(tx, audit, decided, nowMs());
      await events.append(tx, {
        type: "workload.restoring",
        subject: `workload/${lost.name}`,
        message: reason,
        data: { nodeId: target, epoch, snapshotId: snapshot.id },
      });
      return true;
    });
  }

  return {
    sweep,
    async start(signal) {
      const life = AbortSignal.any([signal, stopping.signal]);
      loop = (async () => {
        while (!life.aborted) {
          await sleep(sweepMs, life).catch(() => undefined);
          if (!life.aborted)
            await sweep().catch((caught: unknown) => {
              if (!life.aborted) log.error({ err: caught }, "revive.sweep_failed");
            });
        }
      })();
    },
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}
