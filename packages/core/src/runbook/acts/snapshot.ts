// snapshot: one of each workload, one after the other.
import { Fault, fault } from "@aether/contract";
import { SnapshotService, SnapshotState } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { type Act, counted, listed, numberOf } from "./act.ts";
import { checkScope, nameOf, scopeInputs, scopeText, snapshotsMade, workloadsOf } from "./scope.ts";

/** So many are made before the step says how far it is. */
const atOnce = 10;

export const snapshot: Act = {
  name: "snapshot",
  description: "Makes a snapshot of each workload that runs, one after the other.",
  inputs: [
    ...scopeInputs,
    { name: "attempts", type: "number", description: "tries for each workload", defaultValue: "2", min: 1, max: 10 },
  ],
  methods: [SnapshotService.method.createSnapshot],
  timeoutSeconds: () => 3_600,
  check: checkScope,
  async preview({ ask }, inputs) {
    const running = (await workloadsOf(ask, inputs)).filter(({ state }) => state === WorkloadState.RUNNING).map(nameOf);
    if (running.length === 0) return { would: `nothing: of ${scopeText(inputs)} none runs` };
    return { would: `makes ${counted(running.length, "snapshot")}: ${listed(running)}` };
  },
  async look(doing, inputs) {
    const running = (await workloadsOf(doing.ask, inputs)).filter(
      ({ state }) => state === WorkloadState.RUNNING || state === WorkloadState.MIGRATING,
    );
    const own = await snapshotsMade(doing);
    const made: string[] = [];
    const failed: string[] = [];
    let readyCount = 0;
    let madeCount = 0;
    for (const name of running.map(nameOf)) {
      const mine = own.get(name) ?? [];
      made.push(...mine.map(({ id }) => `snapshot/${id}`));
      if (mine.some(({ state }) => state === SnapshotState.READY)) readyCount++;
      else if (mine.some(({ state }) => state === SnapshotState.CREATING))
        return { is: "going", detail: `the snapshot of ${name} is being made; ${readyCount} of ${running.length} are`, made };
      else if (mine.length >= numberOf(inputs, "attempts")) failed.push(`${name}: ${mine[0]?.error?.message ?? "no reason is known"}`);
      else if (doing.isOverdue) failed.push(`${name}: no time was left`);
      else {
        try {
          const { snapshot: one } = await doing.ask(SnapshotService.method.createSnapshot, { workload: name });
          if (one !== undefined) made.push(`snapshot/${one.id}`);
          readyCount++;
        } catch (caught) {
          // Where it came so far as to be on record, the next look counts it.
          const problem = Fault.from(caught);
          const isOnRecord = ((await snapshotsMade(doing)).get(name) ?? []).length > mine.length;
          if (!isOnRecord && problem.row.retry === "never") throw problem;
          return { is: "going", detail: `${name}: ${problem.message}`, made };
        }
        if (++madeCount === atOnce && readyCount + failed.length < running.length)
          return { is: "going", detail: `${readyCount} of ${running.length} are made`, made };
      }
    }
    if (failed.length > 0) return { is: "failed", error: fault("SNAPSHOT_NOT_READY", failed.join("; ")), made };
    return { is: "done", detail: running.length === 0 ? "no workload runs" : counted(readyCount, "snapshot"), made };
  },
};
