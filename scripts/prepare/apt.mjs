// @ts-check
// Installs from the machine's own apt sources: no recommended packages, nothing removed, no service started or enabled.
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { firstLine, run, StepError, withRetry } from "./run.mjs";
import { say } from "./say.mjs";

/** Waits for another apt instead of failing; a dead mirror costs 30 s and not minutes. */
export const APT_PATIENCE = [
  "DPkg::Lock::Timeout=300",
  "Acquire::Retries=3",
  "Acquire::http::Timeout=30",
  "Acquire::https::Timeout=30",
].flatMap((option) => ["-o", option]);

/** needrestart (Ubuntu) would restart other people's services after an install. */
export const APT_ENVIRONMENT = { ...process.env, DEBIAN_FRONTEND: "noninteractive", NEEDRESTART_SUSPEND: "1", LC_ALL: "C.UTF-8" };

const POLICY_PATH = "/usr/sbin/policy-rc.d";
const POLICY = "#!/bin/sh\n# Written by `npm run prepare:machine` while it installs, and removed after: no service is started.\nexit 101\n";

/**
 * @param {readonly Pick<import("./packages.mjs").SystemPackage, "name" | "service">[]} packages
 * @param {AbortSignal} signal @param {number | undefined} lockFd
 * @throws {import("./run.mjs").StepError}
 */
export async function installPackages(packages, signal, lockFd) {
  const names = packages.map((each) => each.name);
  const services = packages.flatMap((each) => each.service ?? []);
  const label = `apt-get install ${names.join(" ")}`;
  const args = [...APT_PATIENCE, "install", "--yes", "--no-install-recommends", "--no-remove", "--", ...names];
  const install = () => run("apt-get", args, { label, deadlineMs: 900_000, signal, lockFd, env: APT_ENVIRONMENT });
  await withoutServiceStarts(services, signal, async () => {
    try {
      await install();
    } catch (cause) {
      if (signal.aborted) throw cause;
      say(`  ${firstLine(cause)}; reading the package lists anew`);
      await withRetry("apt-get update", signal, () => updateLists(signal, lockFd));
      await withRetry(label, signal, install).catch((error) => {
        throw new StepError(error.message, {
          cause: error,
          next: `look at \`apt-get install ${names.join(" ")}\` by hand, then run this again`,
        });
      });
    }
  });
  // update-rc.d knows both kinds of service, systemd's and those of init scripts, also where neither runs now (an image that is being built).
  for (const service of services) await run("update-rc.d", [service, "disable"], { deadlineMs: 60_000, signal, lockFd });
}

/**
 * A source that does not answer is a warning of apt's and not an error: the others may have what is wanted.
 * @param {AbortSignal} signal @param {number | undefined} lockFd
 */
export async function updateLists(signal, lockFd) {
  await run("apt-get", [...APT_PATIENCE, "update"], { label: "apt-get update", deadlineMs: 300_000, signal, lockFd, env: APT_ENVIRONMENT });
}

/** The version that the machine's own sources offer, if any. @param {string} name @param {AbortSignal} signal @returns {Promise<string | undefined>} */
export async function candidateVersion(name, signal) {
  const { stdout } = await run("apt-cache", ["policy", name], { deadlineMs: 60_000, signal, env: APT_ENVIRONMENT });
  const version = /^ {2}Candidate: (\S+)$/m.exec(stdout)?.[1];
  return version === "(none)" ? undefined : version;
}

/** True where a killed preparation left its ban on service starts behind. */
export const hasLeftoverPolicy = () => existsSync(POLICY_PATH) && readFileSync(POLICY_PATH, "utf8") === POLICY;

/** Lifts that ban. */
export function removeLeftoverPolicy() {
  if (hasLeftoverPolicy()) rmSync(POLICY_PATH);
}

/**
 * dpkg asks /usr/sbin/policy-rc.d, and nothing else, whether a service may start. One that is there already belongs to somebody: it is asked
 * and never replaced. Ours goes away in the end; one that a kill left behind is recognised by its text and is taken over.
 * @param {readonly string[]} services @param {AbortSignal} signal @param {() => Promise<void>} work
 */
async function withoutServiceStarts(services, signal, work) {
  if (existsSync(POLICY_PATH) && !hasLeftoverPolicy()) {
    for (const service of services) await assertPolicyRefuses(service, signal);
    return work();
  }
  writeFileSync(POLICY_PATH, POLICY, { mode: 0o755 });
  try {
    await work();
  } finally {
    rmSync(POLICY_PATH, { force: true });
  }
}

/** Exit codes of policy-rc.d: 101 forbids, all others allow or do not know. @param {string} service @param {AbortSignal} signal */
async function assertPolicyRefuses(service, signal) {
  const { exitCode } = await run(POLICY_PATH, [service, "start"], {
    deadlineMs: 10_000,
    signal,
    exitCodes: Array.from({ length: 256 }, (_, code) => code),
  });
  if (exitCode === 101) return;
  throw new StepError(`${POLICY_PATH} would let ${service} start while it is installed`, {
    next: `install ${service} by hand and stop its service, then run this again`,
  });
}
