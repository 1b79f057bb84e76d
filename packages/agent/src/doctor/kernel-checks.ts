// What the kernel of this machine offers, and what this user may use of it.
import { access, constants, readFile } from "node:fs/promises";
import { release } from "node:os";
import type { Check } from "@aether/kit";
import { hasSoftDirty, isAtLeast } from "../host/dirty-tracking.ts";

/** capabilities(7): bit numbers, and what is lost without each. */
const capabilityBits = [
  { bit: 21, name: "CAP_SYS_ADMIN", without: "no container can be made and nothing can be checkpointed", isNeeded: true },
  { bit: 12, name: "CAP_NET_ADMIN", without: "no namespace, address or route can be made", isNeeded: true },
  {
    bit: 40,
    name: "CAP_CHECKPOINT_RESTORE",
    without: "processes come back under other ids, if at all; CAP_SYS_ADMIN replaces it",
    isNeeded: false,
  },
  {
    bit: 24,
    name: "CAP_SYS_RESOURCE",
    without: "pipe limits bind this user, so post-copy may fail unless they are raised",
    isNeeded: false,
  },
] as const;

/** The effective capabilities of a process, from /proc/PID/status. */
export function parseEffectiveCapabilities(status: string): bigint {
  return BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
}

const isThere = (path: string, mode: number = constants.F_OK) =>
  access(path, mode).then(
    () => true,
    () => false,
  );
const readNumber = async (path: string) => Number((await readFile(path, "utf8")).trim());

export const kernelChecks: readonly Check[] = [
  {
    name: "kernel",
    title: "Linux kernel",
    why: "its version decides how memory can travel while a workload runs, and which CRIU fits it",
    async run() {
      if (process.platform !== "linux") {
        return {
          status: "fail",
          detail: `this is ${process.platform}`,
          mend: "workloads run on Linux; use a virtual machine or a cloud instance",
        };
      }
      const version = release();
      if (!isAtLeast(version, 5, 9)) {
        return {
          status: "fail",
          detail: `${version} is older than 5.9: no CAP_CHECKPOINT_RESTORE, no reliable restore`,
          mend: "upgrade the kernel",
        };
      }
      if (isAtLeast(version, 6, 7))
        return { status: "ok", detail: `${version}: writes to memory can be tracked without soft-dirty (6.7 and later)` };
      if (await hasSoftDirty()) return { status: "ok", detail: `${version}: writes to memory can be tracked (soft-dirty)` };
      return {
        status: "warn",
        detail: `${version}: writes to memory cannot be tracked, so large workloads move by post-copy or stop-and-copy`,
        mend: "use a kernel of 6.7 or later, or one built with CONFIG_MEM_SOFT_DIRTY",
      };
    },
  },
  {
    name: "capabilities",
    title: "Privileges of this user",
    why: "freezing, dumping and restoring another process, and moving its address, are privileged",
    async run() {
      const effective = parseEffectiveCapabilities(await readFile("/proc/self/status", "utf8"));
      const lacking = capabilityBits.filter(({ bit }) => (effective & (1n << BigInt(bit))) === 0n);
      if (lacking.length === 0) return { status: "ok", detail: `uid ${process.getuid?.()}, with all four that matter` };
      const detail = lacking.map(({ name, without }) => `without ${name}: ${without}`).join("; ");
      return lacking.some(({ isNeeded }) => isNeeded)
        ? { status: "fail", detail, mend: "run the agent as root (sudo), or give its unit these capabilities" }
        : { status: "warn", detail, mend: "add them to the container's or unit's capability set; see also the pipe limits below" };
    },
  },
  {
    name: "cgroups",
    title: "Control groups",
    why: "a workload is frozen, measured and limited by its cgroup",
    async run() {
      const mounts = await readFile("/proc/self/mountinfo", "utf8");
      const hasV2 = / - cgroup2 /.test(mounts);
      const hasV1Freezer = / - cgroup .*\bfreezer\b/.test(mounts);
      const isWritable = await isThere("/sys/fs/cgroup", constants.W_OK);
      const kind = hasV2 && hasV1Freezer ? "hybrid (v1 controllers and v2)" : hasV2 ? "v2" : "v1";
      if (!hasV2 && !hasV1Freezer) {
        return { status: "fail", detail: "no cgroup v2 and no v1 freezer is mounted", mend: "mount -t cgroup2 none /sys/fs/cgroup" };
      }
      if (!isWritable)
        return {
          status: "fail",
          detail: `${kind}, but /sys/fs/cgroup cannot be written`,
          mend: "run as root, and not in a container without cgroups",
        };
      return { status: "ok", detail: kind };
    },
  },
  {
    name: "io_uring",
    title: "io_uring of workloads",
    why: "a checkpoint cannot hold one, and Node.js servers keep one wherever the kernel lets them",
    async run() {
      const setting = "/proc/sys/kernel/io_uring_disabled";
      if (!(await isThere(setting)))
        return {
          status: "warn",
          detail: "this kernel cannot deny it (before 6.6), so a Node.js server cannot move",
          mend: "use a kernel of 6.6 or later, or run such servers elsewhere",
        };
      const level = await readNumber(setting);
      if (level > 0)
        return { status: "ok", detail: `denied to workloads (kernel.io_uring_disabled=${level}): Node.js servers poll by epoll` };
      return {
        status: "warn",
        detail: "allowed to workloads: a Node.js server that is started here cannot move",
        mend: "sysctl -w kernel.io_uring_disabled=1 (workloads lack CAP_SYS_ADMIN; programs of the host that have it go on), then start such workloads anew",
      };
    },
  },
  {
    name: "userfaultfd",
    title: "userfaultfd",
    why: "post-copy: the workload resumes at once and its pages follow",
    async run() {
      const allowed = "/proc/sys/vm/unprivileged_userfaultfd";
      if (!(await isThere(allowed))) {
        return {
          status: "warn",
          detail: "the kernel has no userfaultfd",
          mend: "use a kernel with CONFIG_USERFAULTFD; until then moves are stop-and-copy",
        };
      }
      if (process.getuid?.() === 0 || (await readNumber(allowed)) === 1 || (await isThere("/dev/userfaultfd", constants.W_OK))) {
        return { status: "ok", detail: "there, and allowed for this user" };
      }
      return {
        status: "warn",
        detail: "there, but not allowed for this user",
        mend: "run as root, or sysctl -w vm.unprivileged_userfaultfd=1",
      };
    },
  },
  {
    name: "pipe-limits",
    title: "Pipe limits",
    why: "checkpoints and post-copied pages travel through pipes; too small a limit makes `tee` fail in the middle of a freeze",
    async run() {
      const softPages = await readNumber("/proc/sys/fs/pipe-user-pages-soft");
      const maxBytes = await readNumber("/proc/sys/fs/pipe-max-size");
      const effective = parseEffectiveCapabilities(await readFile("/proc/self/status", "utf8"));
      const isBound = (effective & (1n << 24n)) === 0n;
      const detail = `pipe-user-pages-soft ${softPages}, pipe-max-size ${maxBytes}`;
      // Seen: with 16384 pages, root without CAP_SYS_RESOURCE gets EPERM from tee in the middle of a post-copy dump.
      if (!isBound) return { status: "ok", detail: `${detail}; they do not bind this user` };
      if (softPages === 0 && maxBytes >= 1 << 20) return { status: "ok", detail };
      return {
        status: "warn",
        detail: `${detail}; they bind this user`,
        mend: "sysctl -w fs.pipe-user-pages-soft=0 fs.pipe-max-size=134217728",
      };
    },
  },
];
