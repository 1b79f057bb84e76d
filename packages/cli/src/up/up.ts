// Starts the local cloud here, or, with --detach, a supervisor in a session of its own; a cloud that runs already is told, not started twice.
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createLogger, runChecks } from "@aether/kit";
import {
  type CloudRecord,
  closeCloud,
  cloudNeeds,
  cloudPaths,
  isSupervised,
  type Missing,
  openCloud,
  readRecord,
  untilAborted,
} from "@aether/lab";
import type { UpFlags } from "../commands/up.ts";
import { ExitWith } from "../exit-with.ts";
import { machineChecks } from "../machine-checks.ts";
import type { Context } from "../options.ts";
import { detach } from "./detach.ts";
import { signInLink } from "./sign-in-link.ts";

export async function up(context: Context, flags: UpFlags): Promise<void> {
  const { output } = context;
  const dir = cloudPaths(await context.dir()).dir;
  const record = await readRecord(dir);
  if (record !== undefined && isSupervised(record) && record.state !== "failed") {
    const link = await signInLink(dir, context.signal);
    output.result({ ...summary(dir, record, true), signInUrl: link }, () => `a cloud runs already: ${link ?? record.url}`);
    return;
  }
  // Children of a supervisor that was killed would be in the way of a new one.
  if (record !== undefined) await closeCloud({ dir, prefix: flags.prefix, say: () => undefined });
  if (flags.detach === true) {
    const ready = await detach(dir, flags, output.say, context.signal);
    const link = await signInLink(dir, context.signal);
    output.result({ ...summary(dir, ready, false), signInUrl: link }, () => farewell(ready, link));
    return;
  }
  await stay(context, dir, flags);
}

async function stay({ output }: Context, dir: string, flags: UpFlags): Promise<void> {
  const ending = endOnSignals();
  const missing = flags.nodes === 0 ? [] : await findMissing(dir, ending.signal);
  for (const each of missing) output.say(`missing: ${each.what}\n  why: ${each.why}\n  mend: ${each.mend}`);
  if (missing.length > 0) output.say("nodes cannot run on this machine yet; core and its page start alone");
  const { logs, log } = cloudPaths(dir);
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  const opening = openCloud(
    {
      dir,
      prefix: flags.prefix,
      subnet: flags.subnet,
      nodeCount: flags.nodes,
      port: flags.port,
      withDemo: flags.demo,
      reclaim: flags.reclaim,
      missing,
      aether: [process.execPath, fileURLToPath(new URL("../main.js", import.meta.url))],
      log: createLogger({ name: "up", file: log("up") }),
      say: output.say,
    },
    ending.signal,
  );
  const cloud = await opening.catch((caught: unknown) => {
    if (!ending.signal.aborted) throw caught;
    output.say("stopped before it was ready; nothing is left");
    throw new ExitWith(130);
  });
  const record = await readRecord(dir);
  if (record !== undefined) {
    // To a terminal only: what goes to a file may be read by others.
    const link = process.stdout.isTTY ? await signInLink(dir, ending.signal) : undefined;
    output.result(summary(dir, record, false), () => `${farewell(record, link)}\nCtrl-C stops it and removes everything.`);
  }
  await untilAborted(ending.signal);
  output.say("stopping");
  await cloud.stop();
  output.say("the cloud is gone; its logs stay");
}

/** What keeps this machine from having nodes: the cloud's own needs, and what an agent cannot do without. */
async function findMissing(dir: string, signal: AbortSignal): Promise<Missing[]> {
  const needs = await runChecks(cloudNeeds(), signal);
  const reports = needs.some((need) => need.status === "fail")
    ? needs
    : [...needs, ...(await runChecks(await machineChecks("local", dir), signal))];
  return reports
    .filter((report) => report.status === "fail")
    .map((report) => ({ what: `${report.title}: ${report.detail}`, why: report.why, mend: report.mend ?? "See `aether doctor`." }));
}

function summary(dir: string, record: CloudRecord, wasRunning: boolean) {
  const { url, state, nodeCount, missing } = record;
  return { dir, url, state, nodeCount, missing, wasRunning };
}

function farewell(record: CloudRecord, link: string | undefined): string {
  const next =
    record.nodeCount > 0
      ? "Interrupt a node and watch:  aether drill start --kind notice --node n1 --wait"
      : record.missing.length > 0
        ? "It has no nodes. What is missing is said above and by:  aether doctor"
        : "It has no nodes.";
  const open =
    link === undefined
      ? `Open ${record.url}   (for a link that signs your browser in: aether up, once more)`
      : `Open ${link}\n  (signs your browser in, once, within the hour)`;
  return `${open}\n${next}`;
}

/** One signal for Ctrl-C and SIGTERM. A second one ends the process at once; `aether down` cleans then. */
function endOnSignals(): AbortController {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(130);
      controller.abort(new DOMException(`stopped by ${name}`, "AbortError"));
    });
  }
  return controller;
}
