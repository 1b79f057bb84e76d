// What tests with a whole local cloud share: the command that starts one, and what it needs.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { machineChecks } from "@aether/agent";
import { runChecks } from "@aether/kit";
import { cloudNeeds } from "@aether/lab";

export const root = join(import.meta.dirname, "..");
export const bin = join(root, "packages/cli/bin/aether.mjs");

/** Why no local cloud can be started here; undefined when it can. */
export async function missingForCloud(): Promise<string | undefined> {
  if (!existsSync(join(root, "packages/cli/dist/main.js"))) return "the command is not built: npm run build";
  const signal = AbortSignal.timeout(60_000);
  const reports = await runChecks(process.getuid?.() === 0 ? [...cloudNeeds(), ...(await machineChecks())] : cloudNeeds(), signal);
  const failed = reports.filter((report) => report.status === "fail");
  return failed.length === 0 ? undefined : failed.map((report) => `${report.title}: ${report.detail}`).join("; ");
}
