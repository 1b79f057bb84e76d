// What can be rehearsed.
import { Option } from "commander";

/** As DrillKind has them. */
export const drillKinds = { notice: 1, rebalance: 2, price: 3, capacity: 4, crash: 5 } as const;
export type DrillKindName = keyof typeof drillKinds;

export const kindOption = () => new Option("--kind <kind>", "what is rehearsed").choices(Object.keys(drillKinds)).default("notice");
