// What the local cloud itself needs of the machine, beyond what a node's agent checks: root, namespaces, and the programs that make them.
import type { Check, CheckResult } from "@aether/kit";
import { run } from "@aether/kit";
import { findProgram } from "../demo/workload.ts";

const programs = [
  { name: "ip", from: "iproute2" },
  { name: "nsenter", from: "util-linux" },
  { name: "tee", from: "coreutils" },
  { name: "umount", from: "mount" },
] as const;

/** The checks; each failure keeps the cloud from having nodes. */
export function cloudNeeds(): Check[] {
  return [
    {
      name: "root",
      title: "root",
      why: "Network namespaces, containers and checkpoints need the privileges of root.",
      run: async () =>
        process.getuid?.() === 0
          ? { status: "ok", detail: "running as root" }
          : { status: "fail", detail: `running as user ${process.getuid?.() ?? "unknown"}`, mend: "Start it as root: sudo npm run up" },
    },
    ...programs.map(
      ({ name, from }): Check => ({
        name: `program-${name}`,
        title: `program ${name}`,
        why: "It makes and removes the cloud's network.",
        run: async () => {
          const path = findProgram(name, `${process.env.PATH ?? ""}:/usr/sbin:/sbin`);
          return path === undefined
            ? { status: "fail", detail: `${name} is not installed`, mend: `apt-get install ${from}` }
            : { status: "ok", detail: path };
        },
      }),
    ),
    {
      name: "network-namespaces",
      title: "network namespaces",
      why: "Each node of the local cloud is one.",
      run: canUnshare,
    },
  ];
}

async function canUnshare(signal: AbortSignal): Promise<CheckResult> {
  const { code, stderr } = await run("unshare", ["--net", "true"], { deadlineMs: 5_000, okCodes: [0, 1], signal });
  return code === 0
    ? { status: "ok", detail: "can be made" }
    : {
        status: "fail",
        detail: stderr.trim() || "cannot be made",
        mend: "Run as root, and in a container with CAP_SYS_ADMIN (docker run --privileged).",
      };
}
