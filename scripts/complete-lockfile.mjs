#!/usr/bin/env node
// @ts-check
// Run after an `npm install` that changed package-lock.json behind a registry mirror that does not hold every platform's packages: npm then leaves
// those optional packages out of the lockfile, and `npm ci` refuses such a lockfile everywhere ("Missing: … from lock file"). This adds them
// with the exact version that their parent asks for; without an integrity hash, which only their registry knows and npm adds where they are installed.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const OPERATING_SYSTEMS = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const PROCESSORS = {
  arm: "arm",
  armv7: "arm",
  arm64: "arm64",
  ia32: "ia32",
  loong64: "loong64",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
  x64: "x64",
};

/** @typedef {{ version?: string, dev?: boolean, optionalDependencies?: Record<string, string> }} Locked */

const path = fileURLToPath(new URL("../package-lock.json", import.meta.url));
const lock = JSON.parse(readFileSync(path, "utf8"));
/** @type {Record<string, Locked>} */
const packages = lock.packages;
for (const [parentPath, parent] of Object.entries({ ...packages })) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    if (`node_modules/${name}` in packages || `${parentPath}/node_modules/${name}` in packages) continue;
    packages[`node_modules/${name}`] = entryFor(name, version, parent);
    console.log(`added ${name} ${version}`);
  }
}
lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, "en")));
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);

/**
 * Such packages carry their platform in their name, as in `binding-linux-arm64-musl`.
 * @param {string} name @param {string} version @param {Locked} parent
 */
function entryFor(name, version, parent) {
  const words = name.replace(/^.*\//, "").split("-");
  const os = OPERATING_SYSTEMS.find((each) => words.includes(each));
  const cpu = Object.entries(PROCESSORS).find(([word]) => words.includes(word))?.[1];
  if (os === undefined || cpu === undefined || !/^\d+\.\d+\.\d+/.test(version)) {
    throw new Error(`${name}@${version} is missing from the lockfile, and its name does not tell its platform: add it by hand`);
  }
  const libc = words.some((word) => word.startsWith("musl")) ? "musl" : words.some((word) => word.startsWith("gnu")) ? "glibc" : undefined;
  return {
    version,
    cpu: [cpu],
    ...(parent.dev && { dev: true }),
    ...(os === "linux" && libc && { libc: [libc] }),
    optional: true,
    os: [os],
  };
}
