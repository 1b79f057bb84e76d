// drill: a rehearsed interruption, judged as any other.
import { fault } from "@aether/contract";
import { type Drill, DrillKind, DrillService, DrillState } from "@aether/contract/gen/aether/v2/drill_pb";
import { NodeService } from "@aether/contract/gen/aether/v2/node_pb";
import { type Act, listed, numberOf } from "./act.ts";

const kinds: Readonly<Record<string, DrillKind>> = {
  notice: DrillKind.NOTICE,
  rebalance: DrillKind.REBALANCE,
  price: DrillKind.PRICE,
  capacity: DrillKind.CAPACITY,
  crash: DrillKind.CRASH,
};

const failures = ({ checks }: Drill) => checks.filter(({ isPassed }) => !isPassed).map(({ name, detail }) => `${name}: ${detail}`);

export const drill: Act = {
  name: "drill",
  description: "Rehearses an interruption of the node, and goes on only where the drill has passed.",
  inputs: [
    { name: "node", type: "node", description: "which one" },
    { name: "kind", type: "choice", description: "what is rehearsed", choices: Object.keys(kinds), defaultValue: "notice" },
    { name: "window_seconds", type: "number", description: "from the notice to the reclaim", defaultValue: "120", min: 10, max: 3_600 },
  ],
  methods: [DrillService.method.startDrill],
  timeoutSeconds: () => 4_200,
  async preview({ ask }, { node = "", kind, window_seconds }) {
    const { node: found } = await ask(NodeService.method.getNode, { id: node });
    const workloads = found?.workloads ?? [];
    const proves = workloads.length > 0 || kind === "crash" || kind === "price";
    return {
      would: `rehearses ${kind} on ${node}, within ${window_seconds} s`,
      effects: workloads.map((name) => `${name} must be safe in time`),
      problems: [
        ...(found?.isConnected ? [] : [`${node} is not heard`]),
        ...(proves ? [] : [`nothing runs on ${node}: it would prove nothing`]),
      ],
    };
  },
  async look(doing, inputs) {
    const { drills } = await doing.ask(DrillService.method.listDrills, { page: { pageSize: 100 } });
    const mine =
      drills.find(({ cause }) => cause === doing.cause) ??
      (
        await doing.ask(DrillService.method.startDrill, {
          nodeId: inputs.node ?? "",
          kind: kinds[inputs.kind ?? ""] ?? DrillKind.UNSPECIFIED,
          windowSeconds: numberOf(inputs, "window_seconds"),
        })
      ).drill;
    if (mine === undefined) throw fault("INTERNAL", "a drill began without a record");
    const made = [`drill/${mine.id}`];
    if (mine.state === DrillState.PASSED)
      return { is: "done", detail: `passed; safe after ${(mine.noticeToSafeMs / 1000).toFixed(1)} s of ${mine.windowSeconds} s`, made };
    if (mine.state === DrillState.RUNNING) return { is: "going", detail: "the drill runs", made };
    const why = mine.state === DrillState.STOPPED ? "it was stopped" : listed(failures(mine), 10);
    return { is: "failed", error: fault("DRILL_FAILED", `the drill on ${mine.nodeId} did not pass: ${why}`), made };
  },
};
