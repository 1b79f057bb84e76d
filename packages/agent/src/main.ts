// The agent's own process: `node FLAGS main.js [--config FILE]`, see start.ts. Loads nothing of the command line's.
import { parseArgs } from "node:util";
import { Fault } from "@aether/contract";
import { run } from "./agent.ts";
import { useLightHeaders } from "./host/light-headers.ts";

/** Exit codes: 1 it failed, 2 the call or the configuration is wrong, 3 the machine lacks something. */
function exitCodeOf(problem: Fault): number {
  if (problem.code === "CONFIG_INVALID" || problem.code === "INVALID_ARGUMENT") return 2;
  if (problem.code === "TOOL_MISSING" || problem.code === "NODE_LACKS_CAPABILITY") return 3;
  return 1;
}

useLightHeaders();
try {
  const { values } = parseArgs({ options: { config: { type: "string" } } });
  await run({ configFile: values.config });
  process.exit(0); // an engine's helper process may still hold a pipe of ours open; everything of ours is stopped
} catch (caught) {
  const problem = caught instanceof TypeError ? new Fault("INVALID_ARGUMENT", caught.message) : Fault.from(caught);
  process.stderr.write(`error: ${problem.message}\nhint: ${problem.hint}\n`);
  process.exit(exitCodeOf(problem));
}
