// Every command, in the order of the help.
import type { Command } from "commander";
import { registerAccount } from "./account.ts";
import { registerAgent } from "./agent.ts";
import { registerAudit } from "./audit.ts";
import { registerBackup } from "./backup.ts";
import { registerCertificate } from "./certificate.ts";
import { registerCheckpoint } from "./checkpoint.ts";
import { registerCompletion } from "./completion.ts";
import { registerConfig } from "./config.ts";
import { registerCore } from "./core.ts";
import { registerDecisions } from "./decisions.ts";
import { registerDiagnostics } from "./diagnostics.ts";
import { registerDoctor } from "./doctor.ts";
import { registerDown } from "./down.ts";
import { registerDrill } from "./drill/index.ts";
import { registerEvents } from "./events.ts";
import { registerExec } from "./exec.ts";
import { registerGuards } from "./guards.ts";
import { registerInspect } from "./inspect.ts";
import { registerLogs } from "./logs.ts";
import { registerMigrate } from "./migrate.ts";
import { registerMigrations } from "./migrations.ts";
import { registerNodes } from "./nodes.ts";
import { registerPlan } from "./plan.ts";
import { registerPolicy } from "./policy/index.ts";
import { registerPreflight } from "./preflight.ts";
import { registerPrices } from "./prices.ts";
import { registerPs } from "./ps.ts";
import { registerReceipt } from "./receipt.ts";
import { registerRestore } from "./restore.ts";
import { registerRetention } from "./retention.ts";
import { registerRisk } from "./risk/index.ts";
import { registerRun } from "./run.ts";
import { registerRunbook } from "./runbook/index.ts";
import { registerSnapshots } from "./snapshots.ts";
import { registerStop } from "./stop.ts";
import { registerToken } from "./token.ts";
import { registerUp } from "./up.ts";
import { registerWorkload } from "./workload.ts";

const backtest = {
  name: "backtest",
  description: "replay a job with a deadline on recorded spot markets and compare policies",
  register: async (program: Command) => (await import("./backtest/index.ts")).registerBacktest(program),
};

const savings = {
  name: "savings",
  description: "what spot has saved this fleet; or, with --traces, a month on real price series",
  register: async (program: Command) => (await import("./savings/index.ts")).registerSavings(program),
};

/**
 * All commands. Those that load the whole risk engine (0.2 s) are only names unless they are asked for, or all are to be described in full.
 * @param asked the command line's words; undefined: every command in full.
 */
export async function registerAll(program: Command, asked?: readonly string[]): Promise<void> {
  program.commandsGroup("Local cloud:");
  registerUp(program);
  registerDown(program);
  registerDoctor(program);
  program.commandsGroup("Workloads:");
  registerRun(program);
  registerPs(program);
  registerLogs(program);
  registerExec(program);
  registerInspect(program);
  registerStop(program);
  registerWorkload(program);
  program.commandsGroup("Moving:");
  registerMigrate(program);
  registerMigrations(program);
  registerReceipt(program);
  registerPreflight(program);
  registerCertificate(program);
  registerCheckpoint(program);
  registerRestore(program);
  registerSnapshots(program);
  program.commandsGroup("Interruptions:");
  registerDrill(program);
  registerNodes(program);
  registerRisk(program);
  registerDecisions(program);
  registerPlan(program);
  registerGuards(program);
  registerPolicy(program);
  registerRunbook(program);
  registerEvents(program);
  registerAudit(program);
  registerPrices(program);
  for (const heavy of [backtest, savings]) {
    if (asked === undefined || asked.includes(heavy.name) || asked.includes("completion")) await heavy.register(program);
    else program.command(heavy.name).description(heavy.description);
  }
  program.commandsGroup("Daemons and access:");
  registerCore(program);
  registerAgent(program);
  registerConfig(program);
  registerBackup(program);
  registerRetention(program);
  registerDiagnostics(program);
  registerAccount(program);
  registerToken(program);
  registerCompletion(program);
}
