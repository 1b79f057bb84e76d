// The process of a control plane: started again as a standby when it may not lead any more, and when a database that was away is back.
import { join } from "node:path";
import { Fault } from "@aether/contract";
import { createLogger, type Logger, loadConfig, runUntilSignalled } from "@aether/kit";
import { firstAdminFile } from "./access/people.ts";
import { type CoreConfig, coreConfig } from "./config.ts";
import { sayConfig } from "./config-said.ts";
import { type RunningCore, runCore, type StartOptions } from "./core.ts";
import { untilDatabaseAnswers } from "./leader/lead.ts";

/** The link itself goes to a terminal only: a log would keep it. */
function tellFirstAdmin({ http, firstAdminCode }: RunningCore, { dataDir }: CoreConfig): void {
  if (firstAdminCode === undefined) return;
  const place = `http://${http.address}:${http.port}/first-admin#`;
  const link = process.stderr.isTTY
    ? `${place}${firstAdminCode}`
    : `${place}CODE, where CODE is the text in ${join(dataDir, firstAdminFile)}`;
  process.stderr.write(`Nobody has an account yet. This link makes the first admin, once:\n  ${link}\n`);
}

export interface CoreRunOptions {
  /** YAML file. */
  readonly configFile?: string | undefined;
  /** Win over the file and the environment. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
  readonly log?: Logger;
  /** Called when everything listens. */
  readonly onStarted?: (core: RunningCore) => void;
}

/** `aether core`: runs until SIGTERM or SIGINT, or until it cannot go on, which is thrown. */
export async function run(options: CoreRunOptions = {}): Promise<void> {
  const log = options.log ?? createLogger({ name: "core" });
  const sources = { file: options.configFile, overrides: options.overrides ?? {} };
  const config = await loadConfig(coreConfig, { ...sources, prefix: "AETHER_CORE" });
  const said = await sayConfig(sources);
  let hasOpened = false;
  const noteOpened = () => {
    hasOpened = true;
  };
  let isAway = false;
  for (;;) {
    const died: Fault | undefined = await runOnce(config, log, isAway, { ...options, said, onDatabaseOpen: noteOpened }).catch(
      (caught: unknown) => {
        // At the first start a database that cannot be used ends the process, with the reason; one that went away meanwhile is waited for,
        // also by a standby that never led.
        if (!hasOpened || !(caught instanceof Fault) || caught.code !== "STORAGE_FAILED") throw caught;
        return caught;
      },
    );
    if (died === undefined || options.signal?.aborted) return;
    isAway = died.code === "STORAGE_FAILED" && config.database !== undefined;
    if (isAway) {
      log.warn({ reason: died.message }, "database.away; it is waited for");
      continue;
    }
    if (died.code !== "LEADERSHIP_LOST") throw died;
    log.warn({ reason: died.message }, "leadership.lost; this control plane stands by from now on");
  }
}

/** Answers why it could not go on; undefined: it was told to stop. */
async function runOnce(
  config: CoreConfig,
  log: Logger,
  isDatabaseAway: boolean,
  options: CoreRunOptions & StartOptions,
): Promise<Fault | undefined> {
  const ending = new AbortController();
  let died: Fault | undefined;
  const outer = options.signal ? AbortSignal.any([options.signal, ending.signal]) : ending.signal;
  await runUntilSignalled(
    log,
    async (signal) => {
      if (isDatabaseAway) await untilDatabaseAnswers(config, signal, log);
      const core = await runCore(config, signal, log, options);
      core.died.then((reason) => {
        // Being stopped already: closing thousands of sessions may take longer than the lease.
        if (signal.aborted) return;
        died = reason;
        if (reason.code !== "LEADERSHIP_LOST") log.fatal({ err: reason }, "core cannot go on");
        ending.abort(reason);
      });
      tellFirstAdmin(core, config);
      options.onStarted?.(core);
      return core;
    },
    outer,
  ).catch((caught: unknown) => {
    // The reason to end is what counts: one that lost its lead and has thousands of sessions to close must stand by and not end.
    if (died === undefined || options.signal?.aborted) throw caught;
  });
  return died;
}
