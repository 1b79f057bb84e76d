// The closed set, in the order of the reference.
import type { Act } from "./act.ts";
import { check } from "./check.ts";
import { drill } from "./drill.ts";
import { pauseMoves, resumeMoves } from "./guards.ts";
import { drain, migrate } from "./moves.ts";
import { cordon, declareDead, uncordon } from "./nodes.ts";
import { confirm, notify, wait } from "./people.ts";
import { snapshot } from "./snapshot.ts";

export const acts: readonly Act[] = [
  check,
  confirm,
  cordon,
  uncordon,
  drain,
  migrate,
  snapshot,
  drill,
  pauseMoves,
  resumeMoves,
  declareDead,
  wait,
  notify,
];

const byName = new Map(acts.map((act) => [act.name, act]));

export const findAct = (name: string): Act | undefined => byName.get(name);
