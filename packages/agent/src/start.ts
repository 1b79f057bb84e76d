// How the agent must be started to stay small. Imports nothing, so that whoever starts it pays nothing: `aether agent` replaces itself by
//   node ...agentNodeFlags agentEntry --config FILE
// and the local cloud starts its agents the same way.
import { fileURLToPath } from "node:url";

/**
 * At rest an agent with Node's own settings holds about 100 MB, with these about 70: what it does in JavaScript is a few ms a second (digests,
 * TLS and files are native code), so it is interpreted and never compiled, and its young generation is small.
 */
export const agentNodeFlags: readonly string[] = [
  "--max-semi-space-size=2",
  "--max-old-space-size=256",
  "--optimize-for-size",
  "--no-opt",
  "--no-maglev",
  "--no-sparkplug",
];

/** The program to run. */
export const agentEntry: string = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./main.ts" : "./main.js", import.meta.url));
