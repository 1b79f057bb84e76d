// The programs that the engine calls: there, new enough, and in CRIU's case asked itself.

import { release } from "node:os";
import { Fault } from "@aether/contract";
import { criuAbilities, helperTls, type Tools } from "@aether/engine";
import { type Check, type CheckResult, run } from "@aether/kit";
import { isAtLeast } from "../host/dirty-tracking.ts";
import { versionArguments, versionOf } from "../host/machine.ts";

/** The oldest CRIU that was seen working on a kernel, by experiment: newer kernels changed the vDSO's layout (6.13) and TCP's options (6.16). */
export function lowestCriuFor(kernelVersion: string): { readonly major: number; readonly minor: number; readonly why: string } {
  if (isAtLeast(kernelVersion, 6, 16))
    return { major: 4, minor: 2, why: "older ones cannot dump TCP sockets on kernels of 6.16 and later" };
  if (isAtLeast(kernelVersion, 6, 13)) return { major: 4, minor: 1, why: "older ones do not start on kernels of 6.13 and later" };
  return { major: 3, minor: 17, why: "older ones lack what a move needs" };
}

const criuMend = "npm run prepare:machine (it installs a CRIU that fits the kernel into a folder of its own)";

interface ToolRow {
  readonly tool: Exclude<keyof Tools, "criu">;
  readonly name: string;
  readonly title: string;
  readonly why: string;
  readonly mend: string;
  readonly isNeeded: boolean;
}

const rows: readonly ToolRow[] = [
  { tool: "runc", name: "runc", title: "runc", why: "it runs workloads in containers", mend: "apt-get install runc", isNeeded: true },
  {
    tool: "ip",
    name: "iproute2",
    title: "iproute2",
    why: "it makes namespaces, links and routes",
    mend: "apt-get install iproute2",
    isNeeded: true,
  },
  {
    tool: "nft",
    name: "nftables",
    title: "nftables",
    why: "CRIU closes a workload's network with it while it is frozen",
    mend: "apt-get install nftables",
    isNeeded: true,
  },
  {
    tool: "rsync",
    name: "rsync",
    title: "rsync",
    why: "it copies a workload's files to another node",
    mend: "apt-get install rsync",
    isNeeded: true,
  },
  {
    ...{ tool: "native", name: "native-program", title: "Aether's native program", isNeeded: true },
    why: "it keeps a workload's output over a restart of the agent, holds packets and announces addresses",
    mend: "make -C native (needs gcc), or reinstall",
  },
];

/** Checks of the tools at these paths. */
export function toolChecks(tools: Tools): readonly Check[] {
  return [
    {
      name: "criu",
      title: "CRIU",
      why: "it checkpoints and restores processes; one that does not fit the kernel fails in the middle of a move",
      run: (signal) => checkCriu(tools.criu, signal),
    },
    {
      name: "inherited-memory",
      title: "Inherited memory",
      why: "memory that was copied ahead is in place before the workload runs, so that no request waits for a page",
      async run() {
        const { criuInherits } = await criuAbilities(tools.criu);
        if (criuInherits) return { status: "ok", detail: "restored processes inherit what was copied ahead" };
        return {
          status: "warn",
          detail: `${tools.criu} lacks our patches for it: after a move with pre-copy pages are put in place while the workload runs, for 0.3 to 1 s a GiB, in which a request that meets a missing page waits for it`,
          mend: criuMend,
        };
      },
    },
    {
      name: "page-tls",
      title: "TLS for memory",
      why: "with it pages go from helper to helper, which takes a third of the processor time and, in post-copy, outlives the agents",
      async run() {
        const version = await helperTls(tools);
        if (version !== undefined) return { status: "ok", detail: `OpenSSL ${version} in aether-native: pages go from helper to helper` };
        return {
          status: "warn",
          detail:
            "aether-native was built without OpenSSL: pages go through the agents, and in post-copy they end with either of them: where one ends before the last page has come, " +
            "whoever needs a page that is missing waits until somebody removes the workload (pre-copy, stop-and-copy and snapshots do not depend on it)",
          mend: "apt-get install libssl-dev, then make -C native, or reinstall",
        };
      },
    },
    ...rows.map(
      (row): Check => ({
        name: row.name,
        title: row.title,
        why: row.why,
        async run(signal) {
          const version = await versionOf(tools[row.tool], versionArguments[row.tool], signal);
          if (version !== undefined) return { status: "ok", detail: `${version} at ${tools[row.tool]}` };
          return { status: row.isNeeded ? "fail" : "warn", detail: `${tools[row.tool]} is not there or does not run`, mend: row.mend };
        },
      }),
    ),
  ];
}

async function checkCriu(path: string, signal: AbortSignal): Promise<CheckResult> {
  const version = await versionOf(path, versionArguments.criu, signal);
  if (version === undefined) return { status: "fail", detail: `${path} is not there or does not run`, mend: criuMend };
  const kernel = release();
  const lowest = lowestCriuFor(kernel);
  if (!isAtLeast(version, lowest.major, lowest.minor)) {
    return { status: "fail", detail: `${version} does not fit kernel ${kernel}: ${lowest.why}`, mend: criuMend };
  }
  const said = await run(path, ["check"], { deadlineMs: 20_000, signal, okCodes: [0, 1] }).catch((caught: unknown) => Fault.from(caught));
  if (said instanceof Fault) return { status: "fail", detail: `${version}: criu check: ${said.message}`, mend: criuMend };
  if (said.code === 0 && /Looks good/.test(said.stdout + said.stderr))
    return { status: "ok", detail: `${version} at ${path}; criu check: looks good; ${await patchesOf(path)}` };
  const problem = (said.stderr || said.stdout).split("\n").filter((line) => /Error|Warn|not/i.test(line))[0] ?? "no reason given";
  const isPrivileged = process.getuid?.() === 0;
  return {
    status: "fail",
    detail: `${version}: criu check: ${problem.trim().slice(0, 300)}`,
    mend: isPrivileged ? criuMend : "run as root, then look again",
  };
}

/** Not a warning: everything works without them. */
const patchesOf = async (path: string): Promise<string> =>
  (await criuAbilities(path)).criuWaits
    ? "with the patches for short freezes"
    : "without our patches, freezes take some 60 ms more (npm run prepare:machine)";
