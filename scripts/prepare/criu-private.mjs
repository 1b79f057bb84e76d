// @ts-check
// Debian forky's CRIU with every library it needs, its own libc too, in one folder of its own; nothing of the system changes. apt does the
// downloading and checks the archive's signature and each package's hash, but with lists, cache, sources and package database of its own: to
// an empty database the closure of "criu" is everything that it needs. The folder gets its name only when CRIU has run from it, and the link
// PREFIX/criu is then moved in one rename: a kill at any point leaves the former state, and a hidden folder that the next run removes.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { isAtLeast, parseVersion } from "./criu-version.mjs";
import { openForky, SUITE } from "./forky.mjs";
import { run, StepError } from "./run.mjs";

/**
 * @param {string} prefix @param {import("./criu-version.mjs").Version} lowest @param {AbortSignal} signal @param {number | undefined} lockFd
 * @throws {StepError}
 */
export async function installPrivateCriu(prefix, lowest, signal, lockFd) {
  const work = makeWorkFolder(prefix);
  try {
    const packages = await download(work, signal, lockFd);
    const tree = join(work, "tree");
    for (const file of packages) await run("dpkg", ["-x", file, tree], { deadlineMs: 60_000, signal, lockFd });
    const version = await tryOut(tree, lowest, signal);
    const home = join(prefix, `criu-${version}`);
    mkdirSync(join(tree, "bin"), { mode: 0o755 });
    writeFileSync(join(tree, "bin/criu"), wrapper(home, tree), { mode: 0o755 });
    writeFileSync(join(tree, "packages.txt"), `${packages.map((file) => basename(file)).join("\n")}\n`);
    putInPlace(prefix, tree, home);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** On the prefix's own file system, so that the last step is a rename; readable for apt's download user. @param {string} prefix */
export function makeWorkFolder(prefix) {
  try {
    mkdirSync(prefix, { recursive: true, mode: 0o755 });
    for (const name of readdirSync(prefix).filter((each) => each.startsWith(".criu-"))) rmSync(join(prefix, name), { recursive: true });
    const work = mkdtempSync(join(prefix, ".criu-"));
    chmodSync(work, 0o755);
    return work;
  } catch (cause) {
    throw new StepError(`cannot write to ${prefix}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
      next: "name a folder that can be written: AETHER_PREFIX=/another/folder",
    });
  }
}

/** @param {string} work @param {AbortSignal} signal @param {number | undefined} lockFd @returns {Promise<string[]>} the package files */
async function download(work, signal, lockFd) {
  const apt = await openForky(work, "deb", signal, lockFd);
  mkdirSync(join(work, "tree"));
  await apt("downloading CRIU and its libraries", "install", "--yes", "--download-only", "criu");
  const archives = join(work, "cache/archives");
  return readdirSync(archives)
    .filter((name) => name.endsWith(".deb"))
    .map((name) => join(archives, name));
}

/** Runs the unpacked CRIU where it lies. @param {string} tree @param {import("./criu-version.mjs").Version} lowest @param {AbortSignal} signal */
async function tryOut(tree, lowest, signal) {
  const { loader, libraries } = loaderIn(tree);
  const { stdout } = await run(join(tree, loader), ["--library-path", join(tree, libraries), join(tree, "usr/sbin/criu"), "--version"], {
    deadlineMs: 20_000,
    signal,
  });
  const version = /^Version: (\d[\w.]*)/.exec(stdout)?.[1];
  const parsed = parseVersion(version ?? "");
  if (version && parsed && isAtLeast(parsed, lowest)) return version;
  throw new StepError(`Debian ${SUITE} has CRIU ${version ?? stdout}, and this kernel needs ${lowest.join(".")}`, {
    next: "build a newer CRIU (https://criu.org/Installation) and put it into PATH",
  });
}

/** The dynamic loader and the libraries of the unpacked libc, whatever the processor. @param {string} tree */
function loaderIn(tree) {
  for (const triplet of readdirSync(join(tree, "usr/lib"))) {
    const libraries = join("usr/lib", triplet);
    const name = triplet.includes("-linux-") && readdirSync(join(tree, libraries)).find((each) => /^ld-linux.*\.so\.\d+$/.test(each));
    if (name) return { loader: join(libraries, name), libraries };
  }
  throw new StepError("the unpacked packages hold no dynamic loader", {
    next: "report this with the output of `dpkg --print-architecture`",
  });
}

/**
 * What others call as `criu`. --library-path counts for this one program: what CRIU starts (ip, nft, action scripts) gets the system's libraries.
 * @param {string} home @param {string} tree
 */
function wrapper(home, tree) {
  const { loader, libraries } = loaderIn(tree);
  return `#!/bin/sh\nexec '${join(home, loader)}' --library-path '${join(home, libraries)}' '${join(home, "usr/sbin/criu")}' "$@"\n`;
}

/** Gives the tree its name, and the link to it last. @param {string} prefix @param {string} tree @param {string} home */
export function putInPlace(prefix, tree, home) {
  const link = join(prefix, "criu");
  const aside = join(prefix, `.criu-replaced-${process.pid}`);
  if (existsSync(home)) renameSync(home, `${aside}-home`);
  renameSync(tree, home);
  const fresh = join(prefix, `.criu-link-${process.pid}`);
  symlinkSync(basename(home), fresh);
  try {
    renameSync(fresh, link);
  } catch (cause) {
    if (/** @type {NodeJS.ErrnoException} */ (cause).code !== "EISDIR") throw cause;
    renameSync(link, aside); // a plain folder, from an installation by hand
    renameSync(fresh, link);
  }
  for (const name of readdirSync(prefix)) {
    if (name.startsWith(".criu-replaced-") || (name.startsWith("criu-") && name !== basename(home)))
      rmSync(join(prefix, name), { recursive: true });
  }
}
