// What can be rehearsed, by its names in the contract and in the tables.
import { DrillKind } from "@aether/contract/gen/aether/v2/drill_pb";
import type { DrillKindText } from "../db/tables/drills.ts";

export const protoKinds: Readonly<Record<DrillKindText, DrillKind>> = {
  notice: DrillKind.NOTICE,
  rebalance: DrillKind.REBALANCE,
  price: DrillKind.PRICE,
  capacity: DrillKind.CAPACITY,
  crash: DrillKind.CRASH,
};

/** Unspecified is a notice; undefined: no such kind. */
export function kindText(kind: DrillKind): DrillKindText | undefined {
  if (kind === DrillKind.UNSPECIFIED) return "notice";
  for (const [text, proto] of Object.entries(protoKinds)) if (proto === kind) return text as DrillKindText;
  return undefined;
}

/** As the signals' table has it: what the node or the control plane says when the drill is heard. A crash says nothing. */
export const signalOf: Readonly<Record<DrillKindText, "notice" | "rebalance" | "risk" | undefined>> = {
  notice: "notice",
  capacity: "notice",
  rebalance: "rebalance",
  price: "risk",
  crash: undefined,
};

/** For people: what is said to happen. */
export const kindWords: Readonly<Record<DrillKindText, string>> = {
  notice: "an interruption",
  rebalance: "a rebalance recommendation",
  price: "a rise of the price",
  capacity: "an interruption, and no capacity in the target's pool",
  crash: "a crash of the agent",
};
