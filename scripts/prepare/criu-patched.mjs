// @ts-check
// CRIU with our patches (native/criu), compiled on this machine: a freeze is some 60 ms shorter with it. Everything works with any other CRIU too, so what goes
// wrong here is said and not tried again before a day has gone, or before the patches change.
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { installPackages } from "./apt.mjs";
import { makeWorkFolder, putInPlace } from "./criu-private.mjs";
import { criuNeededBy, isAtLeast } from "./criu-version.mjs";
import { openForky, SUITE } from "./forky.mjs";
import { findCommand, isReadable } from "./machine.mjs";
import { run, StepError } from "./run.mjs";

const VERSION = "4.2.1";
/** Of criu_4.2.1.orig.tar.xz. */
const SHA256 = "29ec0ee09e296479fe7048c80980e8ef1d0684d0b0204c2b101dfea19f6725b9";
const DAY_MS = 86_400_000;

/** @param {string} file */
const header = (file) => () => isReadable(`/usr/include/${file}`);
/** @param {string} command */
const program = (command) => () => findCommand(command) !== undefined;
const PACKAGES = [
  { name: "libprotobuf-c-dev", isThere: header("protobuf-c/protobuf-c.h") },
  { name: "protobuf-c-compiler", isThere: program("protoc-c") },
  { name: "protobuf-compiler", isThere: program("protoc") },
  { name: "libprotobuf-dev", isThere: header("google/protobuf/descriptor.proto") },
  { name: "libnl-3-dev", isThere: header("libnl3/netlink/netlink.h") },
  { name: "libnet1-dev", isThere: header("libnet.h") },
  { name: "libcap-dev", isThere: header("sys/capability.h") },
  { name: "uuid-dev", isThere: header("uuid/uuid.h") },
  { name: "pkg-config", isThere: program("pkg-config") },
  { name: "perl", isThere: program("perl") },
  { name: "patch", isThere: program("patch") },
  { name: "xz-utils", isThere: program("xz") },
];

/** @type {import("./step.mjs").Step} */
export const patchedCriu = {
  name: "CRIU, patched",
  why: "a freeze is some 60 ms shorter with it",
  isRequired: false,
  changes: "machine",
  look({ root, prefix, machine }) {
    const patches = patchesOf(root);
    if (!machine.isLinux || patches.length === 0) return { state: "done", found: "nothing to compile here" };
    const home = homeOf(prefix, patches);
    if (linkOf(prefix) === home.name && existsSync(join(home.path, "bin/criu"))) return { state: "done", found: home.path };
    const need = criuNeededBy(machine.kernel);
    if (!isAtLeast([4, 2], need.criu))
      return { state: "done", found: `the patches are for CRIU ${VERSION}, and this kernel needs a newer one` };
    const failed = failureOf(prefix, home.name);
    if (failed !== undefined) return { state: "done", found: `not here: ${failed}` };
    if (!machine.hasApt || !machine.isRoot || findCommand("gcc") === undefined)
      return { state: "done", found: "not here: it is compiled by root, with gcc and apt; any other CRIU does" };
    const missing = PACKAGES.filter((each) => !each.isThere()).map((each) => each.name);
    const first = missing.length === 0 ? "" : `apt-get install ${missing.join(" ")}, then `;
    return {
      state: "missing",
      found: "not compiled, or with other patches than these",
      plan: `${first}compile CRIU ${VERSION} from Debian ${SUITE}'s source into ${home.path} (about a minute)`,
    };
  },
  async do({ root, prefix, signal }, lockFd) {
    const patches = patchesOf(root);
    const home = homeOf(prefix, patches);
    try {
      await build(prefix, home, patches, signal, lockFd);
    } catch (cause) {
      const reason = cause instanceof Error ? (cause.message.split("\n", 1)[0] ?? "") : String(cause);
      if (!signal.aborted) writeFileSync(noteOf(prefix), JSON.stringify({ name: home.name, reason }));
      throw new StepError(`${reason}: freezes take some 60 ms longer without it, all else is the same`, {
        cause,
        next: `it is tried again in a day, or at once after rm ${noteOf(prefix)}`,
      });
    }
  },
};

/**
 * @param {string} prefix @param {{ name: string, path: string }} home @param {readonly string[]} patches
 * @param {AbortSignal} signal @param {number | undefined} lockFd
 */
async function build(prefix, home, patches, signal, lockFd) {
  const missing = PACKAGES.filter((each) => !each.isThere());
  if (missing.length > 0) await installPackages(missing, signal, lockFd);
  const work = makeWorkFolder(prefix);
  try {
    const apt = await openForky(work, "deb-src", signal, lockFd);
    await apt(`source of CRIU ${VERSION}`, "source", "--download-only", "--tar-only", `criu=${VERSION}-1`);
    const archive = join(work, `criu_${VERSION}.orig.tar.xz`);
    const sum = createHash("sha256").update(readFileSync(archive)).digest("hex");
    if (sum !== SHA256) throw new StepError(`the source of CRIU ${VERSION} has the SHA-256 ${sum}, not ${SHA256}`);
    await run("tar", ["-xf", archive, "-C", work], { deadlineMs: 60_000, signal, lockFd });
    const source = join(work, `criu-${VERSION}`);
    for (const patch of patches) await run("patch", ["-p1", "-s", "-d", source, "-i", patch], { deadlineMs: 20_000, signal, lockFd });
    // Without what moves do not use: TLS of its own, helpers for GPUs.
    const args = ["-C", source, `-j${availableParallelism()}`, "NO_GNUTLS=1", "criu"];
    await run("make", args, { label: `compiling CRIU ${VERSION}`, deadlineMs: 900_000, signal, lockFd });
    const tree = join(work, "tree");
    mkdirSync(join(tree, "bin"), { recursive: true, mode: 0o755 });
    copyFileSync(join(source, "criu/criu"), join(tree, "bin/criu"));
    chmodSync(join(tree, "bin/criu"), 0o755);
    const { stdout } = await run(join(tree, "bin/criu"), ["--version"], { deadlineMs: 20_000, signal, lockFd });
    if (!stdout.includes(VERSION)) throw new StepError(`what was compiled says ${stdout.trim()}`);
    putInPlace(prefix, tree, home.path);
    rmSync(noteOf(prefix), { force: true });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** @param {string} root */
function patchesOf(root) {
  const folder = join(root, "native/criu");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(".patch"))
    .sort()
    .map((name) => join(folder, name));
}

/** Other patches are another program, in another folder. @param {string} prefix @param {readonly string[]} patches */
function homeOf(prefix, patches) {
  const hash = createHash("sha256");
  for (const patch of patches) hash.update(readFileSync(patch));
  const name = `criu-${VERSION}-patched-${hash.digest("hex").slice(0, 8)}`;
  return { name, path: join(prefix, name) };
}

/** @param {string} prefix */
function linkOf(prefix) {
  try {
    return readlinkSync(join(prefix, "criu"));
  } catch {
    return undefined; // not there, or a folder
  }
}

/** @param {string} prefix */
const noteOf = (prefix) => join(prefix, "patched-criu.failed");

/** Why it failed lately. @param {string} prefix @param {string} name */
function failureOf(prefix, name) {
  try {
    if (Date.now() - statSync(noteOf(prefix)).mtimeMs > DAY_MS) return undefined;
    const note = JSON.parse(readFileSync(noteOf(prefix), "utf8"));
    return note.name === name ? String(note.reason) : undefined;
  } catch {
    return undefined; // it has not
  }
}
