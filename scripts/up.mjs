#!/usr/bin/env node
// @ts-check
// `npm run up [-- --yes ARGS…]`: prepares the machine, then is `aether up ARGS…` on the pinned runtime.
import { join } from "node:path";
import { findRuntime, NO_RUNTIME, runInPlace } from "../packages/cli/bin/runtime.mjs";
import { prepare, ROOT } from "./prepare/plan.mjs";
import { say } from "./prepare/say.mjs";
import { stopSignal } from "./prepare/stop-signal.mjs";

const args = process.argv.slice(2);
const { canGoOn } = await prepare({ isAgreed: args.includes("--yes"), withTests: false, signal: stopSignal() });
const runtime = findRuntime(ROOT);
if (!canGoOn) {
  process.exitCode = 1;
} else if (runtime === undefined) {
  say(NO_RUNTIME);
  process.exitCode = 3;
} else {
  const command = join(ROOT, "packages/cli/bin/aether.mjs");
  process.exitCode = await runInPlace(runtime, [command, "up", ...args.filter((arg) => arg !== "--yes")]);
}
