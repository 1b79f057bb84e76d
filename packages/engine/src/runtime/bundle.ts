// The OCI bundle of a workload (OCI runtime spec 1.0): own pid, mount, ipc, uts and network namespace, a bounded set of capabilities, no new privileges.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "@aether/kit";
import type { WorkloadSpec } from "../engine.ts";
import { type Host, namespaceName, workloadDir } from "../host.ts";
import type { ProcessSettings } from "../image/process.ts";
import { cgroupPath } from "./cgroup.ts";

/** What a workload may have, with the kernel's numbers (capabilities(7)). */
const capabilities = {
  CAP_CHOWN: 0, CAP_DAC_OVERRIDE: 1, CAP_FOWNER: 3, CAP_FSETID: 4, CAP_KILL: 5, CAP_SETGID: 6, CAP_SETUID: 7, CAP_SETPCAP: 8, CAP_NET_BIND_SERVICE: 10,
  CAP_SYS_CHROOT: 18,
}; // biome-ignore format: a list to read

/** As a hexadecimal mask, for what is run inside of a workload later. */
export const capabilityMask: string = Object.values(capabilities)
  .reduce((mask, bit) => mask + 2 ** bit, 0)
  .toString(16);

export const defaultEnv = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };

/**
 * Firmware tables are none of a workload's business. Masked by an empty folder of ours and not by runc's maskedPaths, which mounts a tmpfs: criu archives
 * each tmpfs with tar on its way, 4 ms in the dump and 3 in the restore for nothing.
 */
export const maskedDir = "/sys/firmware";
export const emptyDir = (host: Host): string => join(host.memoryDir, "empty");

export async function writeBundle(host: Host, spec: WorkloadSpec, process: ProcessSettings, root: string): Promise<string> {
  const dir = workloadDir(host, spec.name);
  const names = Object.keys(capabilities);
  const config = {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: process.uid, gid: process.gid, additionalGids: process.additionalGids },
      args: process.argv,
      env: Object.entries({ ...defaultEnv, ...process.env }).map(([name, value]) => `${name}=${value}`),
      cwd: process.workingDirectory,
      capabilities: { bounding: names, effective: names, permitted: names },
      noNewPrivileges: true,
    },
    root: { path: root, readonly: false },
    hostname: spec.name,
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
      },
      { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777"] },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
      ...(existsSync(maskedDir)
        ? [
            {
              destination: maskedDir,
              type: "bind",
              source: emptyDir(host),
              options: ["bind", "ro", "nosuid", "nodev", "noexec", "private"],
            },
          ]
        : []),
      ...spec.volumes.map((volume) => ({
        destination: volume.destination,
        type: "bind",
        source: volume.source,
        options: ["bind", "rw", "private"],
      })),
    ],
    linux: {
      cgroupsPath: cgroupPath(host, spec.name),
      resources: {
        devices: [{ allow: false, access: "rwm" }],
        ...(spec.memoryLimitBytes > 0 ? { memory: { limit: spec.memoryLimitBytes } } : {}),
        ...(spec.pidsLimit === undefined ? {} : { pids: { limit: spec.pidsLimit } }),
      },
      namespaces: [
        { type: "pid" },
        { type: "mount" },
        { type: "ipc" },
        { type: "uts" },
        { type: "network", path: `/run/netns/${namespaceName(host, spec.name)}` },
      ],
      maskedPaths: ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug"],
      readonlyPaths: ["/proc/sysrq-trigger", "/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs"],
    },
  };
  await writeFileAtomic(join(dir, "config.json"), JSON.stringify(config));
  return dir;
}
