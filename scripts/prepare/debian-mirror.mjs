// @ts-check
// Where packages of Debian come from: the operator's word, else the mirror that this machine already uses (a company's own, often the only one
// that it reaches), else, on a relative of Debian's, the one that Debian's own bootstrap tool would take.
import { readFileSync } from "node:fs";
import { APT_ENVIRONMENT, installPackages } from "./apt.mjs";
import { findCommand } from "./machine.mjs";
import { run, StepError } from "./run.mjs";

const SETTING = "AETHER_DEBIAN_MIRROR";

/** @param {AbortSignal} signal @param {number | undefined} lockFd @returns {Promise<string>} a URL without a slash at its end @throws {StepError} */
export async function debianMirror(signal, lockFd) {
  const asked = process.env[SETTING];
  if (asked !== undefined && asked !== "") {
    if (isMirror(asked)) return withoutSlash(asked);
    throw new StepError(`${SETTING} is no address of a mirror: ${asked}`, { next: `${SETTING}=http://HOST/debian`, isFinal: true });
  }
  const format = "$(ORIGIN)|$(LABEL)|$(REPO_URI)";
  const { stdout } = await run("apt-get", ["indextargets", "--format", format], { deadlineMs: 30_000, signal, env: APT_ENVIRONMENT });
  return mirrorOfTargets(stdout) ?? (await mirrorOfBootstrap(signal, lockFd));
}

/**
 * The first mirror of Debian itself (not of its security archive, which has no testing suites) among apt's own sources.
 * @param {string} targets lines ORIGIN|LABEL|URI of `apt-get indextargets` @returns {string | undefined}
 */
export function mirrorOfTargets(targets) {
  for (const line of targets.split("\n")) {
    const [origin, label, uri = ""] = line.split("|");
    if (origin === "Debian" && label === "Debian" && isMirror(uri)) return withoutSlash(uri);
  }
  return undefined;
}

/** @param {string} script the text of debootstrap @returns {string | undefined} */
export function mirrorOfScript(script) {
  const found = /^DEF_MIRROR="([^"]+)"$/m.exec(script)?.[1];
  return found !== undefined && isMirror(found) ? withoutSlash(found) : undefined;
}

/** @param {AbortSignal} signal @param {number | undefined} lockFd @returns {Promise<string>} */
async function mirrorOfBootstrap(signal, lockFd) {
  if (findCommand("debootstrap") === undefined) await installPackages([{ name: "debootstrap" }], signal, lockFd);
  const path = findCommand("debootstrap");
  const found = path === undefined ? undefined : mirrorOfScript(readFileSync(path, "utf8"));
  if (found !== undefined) return found;
  throw new StepError("no mirror of Debian is known on this machine", { next: `name one: ${SETTING}=http://HOST/debian`, isFinal: true });
}

/** http or https without a password in it: a credential would be shown in messages. @param {string} text */
function isMirror(text) {
  const url = URL.parse(text);
  return url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.password === "" && !/\s/.test(text);
}

/** @param {string} url */
function withoutSlash(url) {
  return url.replace(/\/+$/, "");
}
