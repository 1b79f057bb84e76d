#!/usr/bin/env node
// @ts-check
// The `aether` command's door: settles which Node runs, then hands over to the compiled main.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findRuntime, isRuntimeNewEnough, NO_RUNTIME, runInPlace } from "./runtime.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const main = new URL("../dist/main.js", import.meta.url);
const runtime = isRuntimeNewEnough() ? process.execPath : findRuntime(join(here, "../../.."));

if (runtime === undefined) {
  console.error(NO_RUNTIME);
  process.exitCode = 3;
} else if (!existsSync(main)) {
  console.error("aether is not built yet: `npm run up` prepares and starts everything, `npm run build` only compiles it.");
  process.exitCode = 3;
} else if (runtime === process.execPath) {
  await import(main.href);
} else {
  process.exitCode = await runInPlace(runtime, [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)]);
}
