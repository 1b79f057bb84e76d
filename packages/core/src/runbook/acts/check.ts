// check: a named condition, now or within a time. Reads only.
import { fault } from "@aether/contract";
import { Verdict } from "@aether/contract/gen/aether/v2/certificate_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { GuardService } from "@aether/contract/gen/aether/v2/guard_pb";
import { type Node, NodeService, NodeState } from "@aether/contract/gen/aether/v2/node_pb";
import { SnapshotState } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Act, counted, type Inputs, type Looking, listed, numberOf } from "./act.ts";
import { certificatesOf, checkScope, isAlive, movesUnderWay, nameOf, scopeInputs, scopeText, snapshotsOf, workloadsOf } from "./scope.ts";

interface Found {
  readonly isSo: boolean;
  /** Waiting is of no use: it is the other way round. */
  readonly isHopeless?: boolean;
  readonly detail: string;
}

interface Condition {
  /** For the reference. */
  readonly means: string;
  readonly needsNode?: true;
  /** It hangs on what agents say, who are late where the control plane has just started. */
  readonly asksAgents?: true;
  find(looking: Looking, inputs: Inputs): Promise<Found>;
}

/** What a check waits for comes about in seconds, and may be looked for in a whole fleet. */
const lookMs = 1_000;

const verdicts: Readonly<Record<number, string>> = { [Verdict.GREEN]: "green", [Verdict.AMBER]: "amber", [Verdict.RED]: "red" };

async function nodeOf({ ask }: Looking, { node = "" }: Inputs): Promise<Node> {
  const { node: found } = await ask(NodeService.method.getNode, { id: node });
  if (found === undefined) throw fault("NODE_NOT_FOUND", `there is no node ${node}`, { field: "node" });
  return found;
}

/** All of them, or who is not. */
const all = (problems: readonly string[], good: string): Found => ({
  isSo: problems.length === 0,
  detail: problems.length === 0 ? good : listed(problems, 10),
});

const conditions = {
  "node-ready": {
    means: "the node is heard, can do everything, and no interruption of it is announced",
    needsNode: true,
    asksAgents: true,
    async find(looking, inputs) {
      const { id, isConnected, state, facts } = await nodeOf(looking, inputs);
      const missing = facts?.capabilities?.missing ?? [];
      if (!isConnected) return { isSo: false, detail: `${id} is not heard` };
      if (state === NodeState.INTERRUPTED) return { isSo: false, detail: `an interruption of ${id} is announced` };
      return all(
        missing.map(({ what, mend }) => `${id} lacks ${what}: ${mend}`),
        `${id} is ready`,
      );
    },
  },
  "node-silent": {
    means: "the node is missed: for long enough nothing was heard of it",
    needsNode: true,
    async find(looking, inputs) {
      // Without a session alone it may be core that has just started.
      const { id, isConnected, state } = await nodeOf(looking, inputs);
      if (isConnected) return { isSo: false, isHopeless: true, detail: `${id} is heard` };
      const isMissed = state === NodeState.LOST;
      return { isSo: isMissed, detail: isMissed ? `${id} is missed` : `${id} is not heard, and not missed yet` };
    },
  },
  "node-empty": {
    means: "no workload is placed on the node",
    needsNode: true,
    async find({ ask }, inputs) {
      const there = (await workloadsOf(ask, { node: inputs.node ?? "" })).filter(isAlive).map(nameOf);
      return there.length === 0
        ? { isSo: true, detail: `${inputs.node} is empty` }
        : { isSo: false, detail: `${inputs.node} still has ${listed(there)}` };
    },
  },
  certificates: {
    means: "each workload that runs has a certificate of at_least this verdict",
    asksAgents: true,
    async find({ ask }, inputs) {
      const workloads = (await workloadsOf(ask, inputs)).filter(isAlive);
      const certificates = await certificatesOf(ask, workloads.map(nameOf));
      const worst = inputs.at_least === "amber" ? Verdict.AMBER : Verdict.GREEN;
      const problems = workloads.map(nameOf).flatMap((name) => {
        const certificate = certificates.get(name);
        if (certificate === undefined) return [`${name} has no certificate yet`];
        if (certificate.verdict !== Verdict.UNSPECIFIED && certificate.verdict <= worst) return [];
        return [`${name} is ${verdicts[certificate.verdict] ?? "unknown"}: ${certificate.summary}`];
      });
      return all(
        problems,
        workloads.length === 0 ? "no workload is there" : `${counted(workloads.length, "certificate")} at least ${inputs.at_least}`,
      );
    },
  },
  "workloads-healthy": {
    means: "each workload that should run does, and no health check of them fails",
    asksAgents: true,
    async find({ ask }, inputs) {
      const workloads = (await workloadsOf(ask, inputs)).filter(isAlive);
      const problems = workloads.flatMap((each) => {
        if (each.state !== WorkloadState.RUNNING)
          return [`${nameOf(each)} is ${(WorkloadState[each.state] ?? "").toLowerCase().replaceAll("_", " ")}`];
        return each.health === HealthState.FAILING ? [`${nameOf(each)} fails its health check`] : [];
      });
      return all(problems, workloads.length === 0 ? "no workload is there" : `${counted(workloads.length, "workload")} healthy`);
    },
  },
  "snapshots-fresh": {
    means: "each workload that runs has a snapshot no older than max_age_seconds",
    async find({ ask, nowMs }, inputs) {
      const workloads = (await workloadsOf(ask, inputs)).filter(isAlive);
      const problems: string[] = [];
      for (const name of workloads.map(nameOf)) {
        const newest = (await snapshotsOf(ask, name)).find(({ state }) => state === SnapshotState.READY)?.createdAt;
        const ageSeconds = newest === undefined ? undefined : Math.round((nowMs - timestampMs(newest)) / 1000);
        if (ageSeconds === undefined) problems.push(`${name} has no snapshot`);
        else if (ageSeconds > numberOf(inputs, "max_age_seconds")) problems.push(`the newest snapshot of ${name} is ${ageSeconds} s old`);
      }
      return all(
        problems,
        workloads.length === 0 ? "no workload is there" : `${counted(workloads.length, "workload")} with a fresh snapshot`,
      );
    },
  },
  "no-moves": {
    means: "no move is under way; with a node: none from it or to it",
    async find({ ask }, { node = "" }) {
      const moves = (await movesUnderWay(ask)).filter(
        ({ sourceNodeId, targetNodeId }) => node === "" || node === sourceNodeId || node === targetNodeId,
      );
      return moves.length === 0
        ? { isSo: true, detail: "no move is under way" }
        : { isSo: false, detail: `under way: ${listed(moves.map(({ workload }) => workload))}` };
    },
  },
  "moves-allowed": {
    means: "the kill switch is off",
    async find({ ask }) {
      const { guards } = await ask(GuardService.method.getGuards, {});
      return guards?.isPaused
        ? { isSo: false, detail: `moves are halted by ${guards.pausedBy}: ${guards.pausedReason}` }
        : { isSo: true, detail: "moves may begin" };
    },
  },
} as const satisfies Record<string, Condition>;

const conditionOf = ({ condition = "" }: Inputs): Condition => {
  const found = (conditions as Readonly<Record<string, Condition>>)[condition];
  if (found === undefined) throw fault("INVALID_ARGUMENT", `there is no condition ${condition}`, { field: "condition" });
  return found;
};

const words = (inputs: Inputs): string => {
  const about = conditionOf(inputs).needsNode
    ? ` of ${inputs.node}`
    : inputs.condition === "moves-allowed"
      ? ""
      : ` of ${scopeText(inputs)}`;
  return inputs.condition === "no-moves" ? `no-moves${inputs.node ? ` of ${inputs.node}` : ""}` : `${inputs.condition}${about}`;
};

export const check: Act = {
  name: "check",
  description: `Goes on only where something is so. Conditions: ${Object.entries(conditions)
    .map(([name, { means }]) => `${name} (${means})`)
    .join("; ")}.`,
  inputs: [
    { name: "condition", type: "choice", description: "what must be so", choices: Object.keys(conditions) },
    ...scopeInputs,
    { name: "at_least", type: "choice", description: "of certificates", choices: ["green", "amber"], defaultValue: "green" },
    { name: "max_age_seconds", type: "number", description: "of snapshots-fresh", defaultValue: "3600", min: 1, max: 31_536_000 },
    {
      name: "wait_seconds",
      type: "number",
      description: "how long it may take to come about; 0: it is so now",
      defaultValue: "0",
      min: 0,
      max: 86_400,
    },
  ],
  methods: [],
  timeoutSeconds: (inputs) => numberOf(inputs, "wait_seconds") + 60,
  check(inputs) {
    checkScope(inputs);
    if (conditionOf(inputs).needsNode && (inputs.node ?? "") === "")
      throw fault("INVALID_ARGUMENT", `node is missing: ${inputs.condition} is about one`, { field: "node" });
  },
  async preview(looking, inputs) {
    const { isSo, detail } = await conditionOf(inputs).find(looking, inputs);
    const seconds = numberOf(inputs, "wait_seconds");
    return {
      would: `checks ${words(inputs)}${seconds > 0 ? `, for ${seconds} s at most` : ""}`,
      effects: isSo ? [`now: ${detail}`] : [],
      problems: isSo ? [] : [detail],
    };
  },
  async look(doing, inputs) {
    const { isSo, isHopeless = false, detail } = await conditionOf(inputs).find(doing, inputs);
    if (isSo) return { is: "done", detail };
    const isWaitedFor = doing.isJustStarted && conditionOf(inputs).asksAgents === true && !doing.isOverdue;
    if (!isWaitedFor && (isHopeless || doing.isOverdue || doing.nowMs >= doing.startedAtMs + numberOf(inputs, "wait_seconds") * 1000))
      return { is: "failed", error: fault("CHECK_FAILED", detail) };
    return { is: "going", detail, wakeAtMs: doing.nowMs + lookMs };
  },
};
