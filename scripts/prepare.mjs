#!/usr/bin/env node
// @ts-check
// `npm run prepare:machine`: makes this machine and this clone ready to run Aether Guard. Runs on any Node from 18 on, before anything is installed.
import { prepare } from "./prepare/plan.mjs";
import { say } from "./prepare/say.mjs";
import { stopSignal } from "./prepare/stop-signal.mjs";

const USAGE = "usage: npm run prepare:machine -- [--yes] [--with-tests]";
const args = process.argv.slice(2);
const unknown = args.find((arg) => arg !== "--yes" && arg !== "--with-tests");
if (args.includes("--help")) {
  console.log(USAGE);
} else if (unknown !== undefined) {
  say(`unknown argument: ${unknown}\n${USAGE}`);
  process.exitCode = 2;
} else {
  const { failed, canGoOn } = await prepare({
    isAgreed: args.includes("--yes"),
    withTests: args.includes("--with-tests"),
    signal: stopSignal(),
  });
  process.exitCode = failed.length === 0 && canGoOn ? 0 : 1;
}
