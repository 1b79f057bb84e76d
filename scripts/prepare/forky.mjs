// @ts-check
// apt with lists, cache, sources and package database of its own, pointed at Debian forky: nothing of the system changes, and apt checks the archive's
// signature and each file's hash.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { APT_ENVIRONMENT, APT_PATIENCE, installPackages } from "./apt.mjs";
import { debianMirror } from "./debian-mirror.mjs";
import { isReadable } from "./machine.mjs";
import { run, StepError, withRetry } from "./run.mjs";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
export const SUITE = "forky";

/**
 * Reads the package lists. What comes back runs apt-get in `work`.
 * @param {string} work @param {"deb" | "deb-src"} kind @param {AbortSignal} signal @param {number | undefined} lockFd
 */
export async function openForky(work, kind, signal, lockFd) {
  if (!isReadable(KEYRING)) await installPackages([{ name: "debian-archive-keyring" }], signal, lockFd);
  const mirror = await debianMirror(signal, lockFd);
  for (const folder of ["lists/partial", "cache/archives/partial"]) mkdirSync(join(work, folder), { recursive: true });
  writeFileSync(join(work, "status"), "");
  writeFileSync(join(work, "sources.list"), `${kind} [signed-by=${KEYRING}] ${mirror} ${SUITE} main\n`);
  const options = [
    `Dir::Etc::SourceList=${join(work, "sources.list")}`,
    "Dir::Etc::SourceParts=/dev/null",
    "Dir::Etc::Preferences=/dev/null",
    "Dir::Etc::PreferencesParts=/dev/null",
    `Dir::State::Lists=${join(work, "lists")}`,
    `Dir::State::status=${join(work, "status")}`,
    `Dir::State::extended_states=${join(work, "extended_states")}`,
    `Dir::Cache=${join(work, "cache")}`,
    "Dir::Cache::archives=archives",
    "Acquire::Languages=none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    "Acquire::AllowInsecureRepositories=false",
    "APT::Get::AllowUnauthenticated=false",
    "APT::Install-Recommends=false",
    "APT::Keep-Downloaded-Packages=true",
  ].flatMap((option) => ["-o", option]);
  const apt = (/** @type {string} */ label, /** @type {string[]} */ ...args) =>
    withRetry(label, signal, () =>
      run("apt-get", [...APT_PATIENCE, ...options, ...args], {
        label,
        cwd: work,
        deadlineMs: 300_000,
        signal,
        lockFd,
        env: APT_ENVIRONMENT,
      }).catch((cause) => explain(cause, mirror)),
    );
  // apt-get update answers 0 although a source failed, unless it is told that any failure counts.
  await apt(`package list of Debian ${SUITE}`, "-o", "APT::Update::Error-Mode=any", "update");
  return apt;
}

/** What apt refuses, trying again does not mend; what it could not reach, it may. @param {StepError} cause @param {string} mirror @returns {never} */
function explain(cause, mirror) {
  const isOld = cause.output.includes("is expired");
  const isUnsigned = /NO_PUBKEY|not signed/.test(cause.output);
  const next = isOld
    ? `${mirror} answers with an old copy of ${SUITE}: is the clock right? Where an old mirror is meant: echo 'Acquire::Check-Valid-Until "false";' > /etc/apt/apt.conf.d/99old-mirror`
    : isUnsigned
      ? `${KEYRING} does not know the keys of ${SUITE}: update the package debian-archive-keyring`
      : `can this machine reach ${mirror}, and has it ${SUITE}? (http_proxy, a firewall; AETHER_DEBIAN_MIRROR names another)`;
  throw new StepError(cause.message, { cause, next, isFinal: isOld || isUnsigned });
}
