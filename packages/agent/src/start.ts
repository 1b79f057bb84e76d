// How the agent must be started to stay small. Imports nothing, so that whoever starts it pays nothing: `aether agent` replaces itself by
//   node ...agentNodeFlags agentEntry --config FILE
// and the local cloud starts its agents the same way.
import { fileURLToPath } from "node:url";

/**
 * Loaded and warm, an agent with Node's own settings holds 115 MB, with these 75: what it does in JavaScript is a few ms a second (digests, TLS and files are
 * native code), so it is interpreted and never compiled, and its young generation is small. What that costs: images of hundreds of MB take 30 to 40 %
 * more CPU on their way (115 instead of 150 MB a CPU second, both sides together); the freeze of a small workload was the same within the noise.
 */
export const agentNodeFlags: readonly string[] = [
  "--max-semi-space-size=2",
  "--max-old-space-size=256",
  "--optimize-for-size",
  "--no-opt",
  "--no-maglev",
  "--no-sparkplug",
  // What a move runs is run seldom: its bytecode would be thrown away between two moves, and compiled anew inside the freeze.
  "--no-flush-bytecode",
  "--expose-gc",
];

/** The program to run. */
export const agentEntry: string = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./main.ts" : "./main.js", import.meta.url));
