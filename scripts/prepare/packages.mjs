// @ts-check
// Every system package that the product or its tests ask for. A package counts as present when its file is: whoever has runc from another
// source (containerd.io, a static build) keeps it.

/**
 * @typedef {object} SystemPackage
 * @property {string} name          in Debian and Ubuntu
 * @property {string} command       a program in PATH, or the absolute path of a file, that shows it is there
 * @property {string} [folders]     where it is when it is not in PATH: a folder of folders, one a version, each with bin/COMMAND
 * @property {string} why
 * @property {boolean} [testsOnly]
 * @property {string} [service]     a service that the package would start now and at each boot: neither happens
 */

/** @type {readonly SystemPackage[]} */
const SYSTEM_PACKAGES = [
  { name: "runc", command: "runc", why: "runs each workload as an OCI container" },
  { name: "iproute2", command: "ip", why: "network namespaces, links and routes" },
  { name: "nftables", command: "nft", why: "holds a workload's network while it is moved" },
  { name: "rsync", command: "rsync", why: "carries the container's writable layer", service: "rsync" },
  { name: "gcc", command: "gcc", why: "compiles the native program" },
  { name: "libc6-dev", command: "/usr/include/stdio.h", why: "compiles the native program" },
  {
    name: "libssl-dev",
    command: "/usr/include/openssl/ssl.h",
    why: "lets the native program carry memory from node to node itself, at a third of the processor time",
  },
  { name: "make", command: "make", why: "compiles the native program" },
  {
    name: "redis-server",
    command: "redis-server",
    why: "the workload of the end-to-end tests",
    testsOnly: true,
    service: "redis-server",
  },
  { name: "redis-tools", command: "redis-benchmark", why: "loads redis in the tests of real workloads", testsOnly: true },
  { name: "nginx-light", command: "/usr/sbin/nginx", why: "a workload of the tests", testsOnly: true, service: "nginx" },
  { name: "python3", command: "/usr/bin/python3", why: "a workload of the tests", testsOnly: true },
  {
    name: "postgresql",
    command: "postgres",
    folders: "/usr/lib/postgresql",
    why: "the tests run the control plane on a server of their own, too",
    testsOnly: true,
    service: "postgresql",
  },
  {
    name: "gcc-aarch64-linux-gnu",
    command: "aarch64-linux-gnu-gcc",
    why: "the native program is compiled for arm64 too",
    testsOnly: true,
  },
  {
    name: "libc6-dev-arm64-cross",
    command: "/usr/aarch64-linux-gnu/include/stdio.h",
    why: "the native program is compiled for arm64 too",
    testsOnly: true,
  },
  {
    name: "qemu-user-static",
    command: "qemu-aarch64-static",
    why: "the native program for arm64 is run, too",
    testsOnly: true,
  },
  { name: "chromium", command: "chromium", why: "the dashboard is tested in a real browser", testsOnly: true },
];

/** @param {boolean} withTests */
export const wantedPackages = (withTests) => SYSTEM_PACKAGES.filter((each) => withTests || !each.testsOnly);
