// What each kind of drill does, in the words of whoever chooses one.
import { DrillKind } from "@aether/contract/gen/aether/v2/drill_pb";

export interface KindWords {
  readonly kind: DrillKind;
  readonly title: string;
  /** What is done to the node, and what must come of it. */
  readonly about: string;
  /** On the button, before the node's name. */
  readonly verb: string;
}

export const drillKinds: readonly KindWords[] = [
  {
    kind: DrillKind.NOTICE,
    title: "interruption notice",
    about: "Its metadata service announces its end, as EC2 does. Everything on it must be elsewhere in time.",
    verb: "Interrupt",
  },
  {
    kind: DrillKind.REBALANCE,
    title: "rebalance recommendation",
    about: "Its metadata service recommends to leave. What pays to move moves.",
    verb: "Recommend to leave",
  },
  {
    kind: DrillKind.PRICE,
    title: "price rise",
    about: "The spot price of its pool is said to rise. It must be assessed, weighed and decided; moving is not always the answer.",
    verb: "Raise the price of",
  },
  {
    kind: DrillKind.CAPACITY,
    title: "no capacity where it would go",
    about: "It is interrupted, and the pool that would be taken now has no room. Everything must go elsewhere.",
    verb: "Interrupt",
  },
  {
    kind: DrillKind.CRASH,
    title: "crash of the agent",
    about: "Its agent is killed without a word. It must be missed, and its workloads must be where they were when it is back.",
    verb: "Kill the agent of",
  },
];

export const kindTitle = (kind: DrillKind): string => drillKinds.find((each) => each.kind === kind)?.title ?? "drill";
