// Brings one workload from its state on record to the desired one, a step at a time. Level-based: it reads everything anew, so it may be
// called at any time, by a request, when a node comes back, or after a restart; each command's id follows from the row, so a repeat is
// answered with the kept result and never done twice.

import { Fault, fault, isFaultCode } from "@aether/contract";
import { CommandOutcome, type CommandResult } from "@aether/contract/gen/aether/v2/agent_pb";
import { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { type Logger, type Stoppable, sleep } from "@aether/kit";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { RowChange } from "../db/schema.ts";
import type { Events, NewEvent } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { newId } from "../ids.ts";
import { endPlacement, findWorkload, lockInEpoch, type PlacedWorkload, selectPlaced } from "./store.ts";

export interface Converge extends Stoppable {
  /** Begins to look for what is not as desired: after a restart, when a node is back, when a caller went away. */
  start(signal: AbortSignal): Promise<void>;
  /**
   * Works until the desired state is reached; the signal ends the waiting, not the work. One at a time for each workload; a second caller waits for the first and looks again.
   * What is under way for a placement that is over is given up (CANCELLED): its node may be gone for good.
   * Throws what the node refused (WORKLOAD_START_FAILED, COMMAND_NOT_EXECUTABLE …), NODE_NOT_CONNECTED, or the signal's reason.
   */
  converge(name: string, signal: AbortSignal): Promise<void>;
}

/** Longer than the agent's own deadlines, so that the answer that counts is the agent's. */
const startDeadlineMs = 120_000;
const restoreDeadlineMs = 300_000;
const removeDeadlineMs = 90_000;
const sweepEveryMs = 3_000;
/** Nodes that come within this time are looked at together. */
const gatherMs = 20;
/** Who waits for the work of another looks this often whether it is still of use. */
const lookAgainMs = 1_000;

/** One run for one workload. */
interface Work {
  /** The placement that it is about; undefined before it has looked, null without one. */
  epoch: number | null | undefined;
  readonly end: AbortController;
  done: Promise<void>;
}

/** A mistake in the request: nothing of it stays. What started and failed stays on record, for its logs. */
const requestMistakes = new Set([
  "INVALID_ARGUMENT",
  "COMMAND_NOT_EXECUTABLE",
  "ROOTFS_INVALID",
  "VOLUME_INVALID",
  "ADDRESS_IN_USE",
  "NODE_LACKS_CAPABILITY",
]);

export interface ConvergeOptions {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: AgentSessions;
  readonly log: Logger;
}

export function createConverge({ db, events, sessions, log }: ConvergeOptions): Converge {
  const running = new Map<string, Work>();
  const life = new AbortController();

  const told = (row: PlacedWorkload, type: string, message: string, data: NonNullable<NewEvent["data"]> = {}): NewEvent => ({
    type,
    subject: `workload/${row.name}`,
    message,
    data: { nodeId: row.node_id, epoch: row.epoch, ...data },
  });

  /** Changes the row if it is still the workload that was read, still where it was, and still not in a migration's hands; false otherwise. */
  async function change(row: PlacedWorkload, to: RowChange<"workloads">, ...news: NewEvent[]): Promise<boolean> {
    return db.transaction().execute(async (tx) => {
      if ((await lockInEpoch(tx, row))?.id !== row.id) return false;
      await tx.updateTable("workloads").set(to).where("id", "=", row.id).execute();
      await events.append(tx, ...news);
      return true;
    });
  }

  /** A start succeeded when its workload had been placed elsewhere, or removed: at most one copy may run. */
  async function removeLate(row: PlacedWorkload, nodeId: string, epoch: number): Promise<void> {
    const now = await findWorkload(db, row.name);
    if (now !== undefined && (now.epoch === null || now.node_id === nodeId || now.migration_id !== null)) return;
    const removal = remove(row, now?.epoch ?? epoch);
    await sessions.send(nodeId, removal, AbortSignal.any([life.signal, AbortSignal.timeout(removeDeadlineMs)]));
  }

  async function forget(row: PlacedWorkload, ...news: NewEvent[]): Promise<void> {
    await db.transaction().execute(async (tx) => {
      await endPlacement(tx, row.name);
      await tx.deleteFrom("workloads").where("id", "=", row.id).execute();
      await events.append(tx, ...news);
    });
  }

  async function start(row: PlacedWorkload, nodeId: string, epoch: number, signal: AbortSignal): Promise<void> {
    const spec = fromColumn(WorkloadSpecSchema, row.spec);
    const snapshotId = row.snapshot_id;
    const action =
      snapshotId === null
        ? ({ case: "startWorkload", value: { spec } } as const)
        : ({ case: "restoreSnapshot", value: { snapshotId, spec } } as const);
    const deadlineMs = snapshotId === null ? startDeadlineMs : restoreDeadlineMs;
    const command = { id: `cmd-start-${row.id}-${epoch}`, workload: row.name, epoch: BigInt(epoch), action };
    const result = await sessions.send(nodeId, command, AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]));
    if (result.outcome === CommandOutcome.OK) {
      const running: RowChange<"workloads"> = { state: "running", reason: "", exit_code: null, snapshot_id: null, started_at: new Date() };
      const isTold = await change(row, running, told(row, "workload.running", `${row.name} runs on ${nodeId} at ${row.address}`));
      return isTold ? undefined : removeLate(row, nodeId, epoch);
    }
    const problem = problemOf(result);
    // Whatever is left of the attempt goes; a failure of this is found at the node's next session.
    await sessions
      .send(nodeId, remove(row, epoch), AbortSignal.any([signal, AbortSignal.timeout(removeDeadlineMs)]))
      .catch((caught: unknown) => log.warn({ err: caught, workload: row.name, nodeId }, "the remains of a failed start were not removed"));
    const news = told(row, "workload.failed", `${row.name} did not start: ${problem.message}`, { code: problem.code });
    if (requestMistakes.has(problem.code) && snapshotId === null) await forget(row, news);
    else await change(row, { state: "failed", reason: `${problem.code}: ${problem.message}`.slice(0, 2000) }, news);
    throw problem;
  }

  async function stop(row: PlacedWorkload, nodeId: string, epoch: number, signal: AbortSignal): Promise<void> {
    const graceSeconds = row.stop_grace_seconds;
    const command = {
      id: newId("cmd"),
      workload: row.name,
      epoch: BigInt(epoch),
      action: { case: "stopWorkload" as const, value: { graceSeconds } },
    };
    const result = await sessions.send(nodeId, command, AbortSignal.any([signal, AbortSignal.timeout((graceSeconds + 60) * 1000)]));
    if (result.outcome !== CommandOutcome.OK) throw problemOf(result);
    await change(row, { state: "stopped", reason: "", health: "unknown" }, told(row, "workload.stopped", `${row.name} was stopped`));
  }

  const remove = (row: PlacedWorkload, epoch: number) => ({
    id: newId("cmd"),
    workload: row.name,
    epoch: BigInt(epoch),
    action: { case: "removeWorkload" as const, value: {} },
  });

  /** One step; answers whether there may be another. */
  async function step(name: string, work: Work, signal: AbortSignal): Promise<boolean> {
    const row = await findWorkload(db, name);
    if (row === undefined || row.migration_id !== null) return false;
    const { node_id: nodeId, epoch } = row;
    work.epoch = epoch;
    if (row.desired === "removed") {
      if (nodeId !== null && epoch !== null) {
        const result = await sessions.send(nodeId, remove(row, epoch), AbortSignal.any([signal, AbortSignal.timeout(removeDeadlineMs)]));
        if (result.outcome !== CommandOutcome.OK) throw problemOf(result);
      }
      await forget(row, told(row, "workload.removed", `${row.name} was removed`));
      return false;
    }
    if (nodeId === null || epoch === null) return false;
    if (row.desired === "running" && row.state === "starting") {
      await start(row, nodeId, epoch, signal);
      return true;
    }
    if (row.desired === "stopped" && (row.state === "running" || row.state === "lost" || row.state === "starting")) {
      await stop(row, nodeId, epoch, signal);
      return true;
    }
    return false;
  }

  async function workOn(name: string): Promise<void> {
    for (let other = running.get(name); other; other = running.get(name)) {
      if (other.epoch !== undefined) {
        const row = await findWorkload(db, name);
        const why = row === undefined ? "is removed" : "is placed anew";
        if (row?.epoch !== other.epoch)
          other.end.abort(fault("CANCELLED", `${name} ${why}: what was under way for its epoch ${other.epoch} is given up`));
      }
      await Promise.race([other.done.catch(() => undefined), sleep(lookAgainMs, life.signal).catch(() => undefined)]);
    }
    const work: Work = { epoch: undefined, end: new AbortController(), done: Promise.resolve() };
    const signal = AbortSignal.any([life.signal, work.end.signal]);
    work.done = (async () => {
      while (await step(name, work, signal));
    })();
    running.set(name, work);
    await work.done.finally(() => running.delete(name));
  }

  /** Everything that is not as it is desired, on nodes that can be asked. */
  async function sweep(): Promise<void> {
    const rows = await selectPlaced(db)
      .where("workloads.migration_id", "is", null)
      .where((eb) =>
        eb.or([
          eb.and([eb("workloads.desired", "=", "running"), eb("workloads.state", "=", "starting")]),
          eb.and([eb("workloads.desired", "=", "stopped"), eb("workloads.state", "in", ["running", "lost", "starting"])]),
          eb("workloads.desired", "=", "removed"),
        ]),
      )
      .execute();
    for (const { name, node_id: nodeId, epoch } of rows) {
      const work = running.get(name);
      if ((work !== undefined && (work.epoch === undefined || work.epoch === epoch)) || (nodeId !== null && !sessions.isConnected(nodeId)))
        continue;
      workOn(name).catch((caught: unknown) => {
        if (!life.signal.aborted) log.warn({ err: caught, workload: name }, "workload is not as desired yet");
      });
    }
  }

  let loop: Promise<void> = Promise.resolve();
  return {
    async start(signal) {
      signal.addEventListener("abort", () => life.abort(signal.reason), { once: true });
      // One look at a time: a fleet that comes back within seconds is looked at a few times and not once a node.
      let wake = new AbortController();
      life.signal.addEventListener(
        "abort",
        sessions.onHello(() => wake.abort()),
        { once: true },
      );
      loop = (async () => {
        while (!life.signal.aborted) {
          wake = new AbortController();
          await sweep().catch((caught: unknown) => {
            if (!life.signal.aborted) log.error({ err: caught }, "looking at the workloads failed");
          });
          await sleep(sweepEveryMs, AbortSignal.any([life.signal, wake.signal])).catch(() => undefined);
          await sleep(gatherMs, life.signal).catch(() => undefined);
        }
      })();
    },
    async stop() {
      life.abort(fault("CANCELLED", "the control plane stops"));
      await loop;
      await Promise.allSettled([...running.values()].map(({ done }) => done));
    },
    converge: (name, signal) =>
      new Promise((resolve, reject) => {
        const abort = () => reject(signal.reason);
        signal.addEventListener("abort", abort, { once: true });
        workOn(name)
          .then(resolve, reject)
          .finally(() => signal.removeEventListener("abort", abort));
      }),
  };
}

/** The agent's own words, as a Fault. */
export function problemOf({ outcome, error }: CommandResult): Fault {
  if (error === undefined) return fault("INTERNAL", `the node answered ${CommandOutcome[outcome]} without a reason`);
  return new Fault(isFaultCode(error.code) ? error.code : "INTERNAL", error.message, {
    details: error.details,
    ...(error.hint === "" ? {} : { hint: error.hint }),
    ...(error.field === "" ? {} : { field: error.field }),
  });
}
