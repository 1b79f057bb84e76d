// The steps of a move, in order. A new one: its file, a row here, its name in state.ts, and its place in next.ts.
import type { StepName } from "../state.ts";
import { abort } from "./abort.ts";
import { copy } from "./copy.ts";
import { drainPages } from "./drain-pages.ts";
import { freeze } from "./freeze.ts";
import { preflight } from "./preflight.ts";
import { prepare } from "./prepare.ts";
import { release } from "./release.ts";
import { restore } from "./restore.ts";
import { resume } from "./resume.ts";
import type { StepDefinition } from "./step.ts";
import { thaw } from "./thaw.ts";

export const steps: Readonly<Record<StepName, StepDefinition>> = {
  preflight,
  prepare,
  copy,
  freeze,
  restore,
  resume,
  drain_pages: drainPages,
  release,
  abort,
  thaw,
};
