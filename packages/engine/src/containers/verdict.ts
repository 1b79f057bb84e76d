// Could what runs in this container be moved, and what would it take? The container is looked at as it runs: nothing of it is stopped, changed or taken over.
// It is not moved in place, since its address, its layers and its name belong to its runtime (docs/decisions/0018-containers-of-others.md); the verdict ends
// with the way by which it becomes a workload.
import { readdirSync, readlinkSync } from "node:fs";
import { fault, type KnownNeeds } from "@aether/contract";
import { isErrno } from "@aether/kit";
import type { Finding } from "../engine.ts";
import { untrackable } from "../memory/pins.ts";
import { tcpTable } from "../network/tcp-table.ts";
import { hostFacts } from "../preflight/host-facts.ts";
import { inspectProcesses } from "../preflight/inspect.ts";
import { residentBytes, statOf } from "../runtime/process.ts";
import { type Container, type ContainerRuntime, containerRuntimes, type Discovered, discoverContainers } from "./discover.ts";

export interface ContainerVerdict {
  readonly container: Container;
  readonly blockers: readonly Finding[];
  readonly warnings: readonly Finding[];
  readonly needs: KnownNeeds;
  readonly memoryBytes: number;
  readonly processCount: number;
  readonly tcpEstablished: number;
  /** Arguments of `aether` that start the same as a workload. */
  readonly asWorkload: readonly string[];
  /** Commands for a shell, in order, that make the container a workload: with one restart, and removing nothing of it. The last one is `asWorkload`. */
  readonly takeOver: readonly string[];
  /** Should it not be well as a workload: the container goes on from where it was stopped. */
  readonly wayBack: string;
}

export interface ContainerVerdicts {
  readonly verdicts: readonly ContainerVerdict[];
  readonly unasked: Discovered["unasked"];
}

/** Throws NODE_LACKS_CAPABILITY without root: what another's processes have open could not be seen, and nothing found would look like nothing there. */
export async function containerVerdicts(
  options: { readonly name?: string; readonly runtimes?: readonly ContainerRuntime[] },
  signal: AbortSignal,
): Promise<ContainerVerdicts> {
  if (process.geteuid?.() !== 0)
    throw fault("NODE_LACKS_CAPABILITY", "what the processes of a container have open can be seen by root alone", {
      hint: "sudo aether preflight --containers",
    });
  const { containers, unasked } = await discoverContainers(options.runtimes ?? containerRuntimes, options.name, signal);
  const verdicts: ContainerVerdict[] = [];
  for (const container of containers) verdicts.push(await judgeContainer(container, signal));
  return { verdicts, unasked };
}

async function judgeContainer(container: Container, signal: AbortSignal): Promise<ContainerVerdict> {
  const pids = await processesOf(container);
  const inspected = await inspectProcesses(pids, await hostFacts(), signal);
  const untracked = await untrackable(pids, true);
  return {
    container,
    blockers: [...settingsFindings(container), ...inspected.blockers],
    warnings: [
      ...inspected.warnings,
      ...mountFindings(container),
      ...(untracked === undefined
        ? []
        : [{ code: "NOT_PRE_COPIED", message: `its memory travels inside the freeze: ${untracked}`, mend: "", subject: container.name }]),
    ],
    needs: inspected.needs,
    memoryBytes: await residentBytes(pids),
    processCount: pids.length,
    tcpEstablished: container.isHostNetwork ? 0 : (await tcpTable(container.pid)).established.length,
    asWorkload: workloadArguments(container),
    takeOver: takeOver(container),
    wayBack: shell([container.runtime, "start", container.name]),
  };
}

/** Everything in its pid namespace; where it has none of its own, its first process and all that came of it. */
async function processesOf({ pid, name }: Container): Promise<number[]> {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number); // biome-ignore format: one list
  const namespace = namespaceOf(pid);
  if (namespace === undefined)
    throw fault("NODE_LACKS_CAPABILITY", `the processes of ${name} cannot be looked into`, {
      hint: "Needs root with CAP_SYS_PTRACE; a container that has just ended gives the same.",
    });
  if (namespace !== namespaceOf("self")) return all.filter((each) => namespaceOf(each) === namespace).sort((a, b) => a - b);
  const parents = new Map<number, number>();
  for (const each of all) parents.set(each, (await statOf(each))?.parent ?? 0);
  const comesFrom = (each: number, depth = 0): boolean =>
    each === pid || (depth < 200 && parents.has(each) && comesFrom(parents.get(each) ?? 0, depth + 1));
  return all.filter((each) => comesFrom(each)).sort((a, b) => a - b);
}

function namespaceOf(pid: number | "self"): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ESRCH", "EACCES")) return undefined; // gone, or another one's, into which this root may not look
    throw caught;
  }
}

/** What a container shares with its host cannot leave with it. */
export function settingsFindings(container: Container): Finding[] {
  const subject = `container ${container.name}`;
  const rules: readonly (readonly [boolean, string, string, string])[] = [
    [
      container.isHostNetwork,
      "HOST_NETWORK",
      "it uses the host's network: its connections are the host's",
      "Give it a network of its own.",
    ],
    [container.isHostPid, "HOST_PID", "it shares the host's process numbers, which may be taken elsewhere", "Start it without --pid host."],
    [container.isHostIpc, "HOST_IPC", "it shares the host's memory segments and queues with others", "Start it without --ipc host."],
    [container.isPrivileged, "PRIVILEGED", "it is privileged: a workload never is, and what it needs of the host is not known", "Name the capabilities and devices that it really needs."], // biome-ignore format: one rule a line
  ];
  return rules.flatMap(([applies, code, message, mend]) => (applies ? [{ code, message, mend, subject }] : []));
}

function mountFindings({ mounts, ports }: Container): Finding[] {
  const found = mounts.map(({ source, destination, isReadOnly }) => ({
    code: "MOUNT",
    message: `${destination} is ${source || "memory"} of this host${isReadOnly ? ", read-only" : ""}`,
    mend: isReadOnly
      ? "It must be on the target too."
      : "As a workload: --volume with sync (travels) or shared (the same storage on both nodes).",
    subject: destination,
  }));
  const published = ports.map((port) => ({
    code: "PUBLISHED_PORT",
    message: `port ${port} is translated by this host: clients are connected to the host's address, which stays`,
    mend: "A workload has an address of its own that moves with it.",
    subject: port,
  }));
  return [...found, ...published];
}

const workloadName = ({ name }: Container): string =>
  name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40) || "workload"; // biome-ignore format: one chain

/** Where the image of a container is saved as an OCI layout. */
const layoutOf = (container: Container): string => `/var/lib/aether-guard/images/${workloadName(container)}`;

/** The image that is made of the container has its command, environment, user and directory, so that no value of the environment stands on a command line. */
export function workloadArguments(container: Container): string[] {
  const { rootfs } = container;
  const volumes = container.mounts.flatMap(({ source, destination, type, isReadOnly }) =>
    source === "" || type === "tmpfs" ? [] : ["--volume", `${source}:${destination}:${isReadOnly ? "shared" : "sync"}`],
  );
  const settings = [
    ...(container.user === "" ? [] : ["--user", container.user]),
    ...(container.workingDirectory === "" || container.workingDirectory === "/" ? [] : ["--workdir", container.workingDirectory]),
    "--",
    ...container.argv,
  ];
  return [
    "run",
    workloadName(container),
    "--rootfs",
    rootfs || `oci:${layoutOf(container)}`,
    ...volumes,
    ...(container.memoryLimitBytes > 0 ? ["--memory", `${Math.ceil(container.memoryLimitBytes / 2 ** 20)}M`] : []),
    ...(container.pidsLimit > 0 ? ["--pids", String(container.pidsLimit)] : []),
    ...(rootfs === "" ? [] : settings),
  ];
}

/** A word as a shell takes it. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
const shell = (words: readonly string[]): string => words.map(quoted).join(" ");

export function takeOver(container: Container): string[] {
  const { runtime, name, rootfs } = container;
  const image = `localhost/${workloadName(container)}:as-it-was`;
  const layout = layoutOf(container);
  // Docker's archive is an OCI layout since Docker 25.
  const save =
    runtime === "podman"
      ? [shell(["podman", "save", "--format", "oci-dir", "--output", layout, image])]
      : [shell(["mkdir", "-p", layout]), `${shell(["docker", "save", image])} | ${shell(["tar", "-x", "-C", layout])}`];
  return [
    // dockerd starts again what it had stopped, when it is started itself; podman does not where a person has stopped it.
    ...(runtime === "docker" ? [shell(["docker", "update", "--restart", "no", name])] : []),
    shell([runtime, "stop", name]),
    ...(rootfs === "" ? [shell([runtime, "commit", name, image]), ...save] : []),
    shell(["aether", ...workloadArguments(container)]),
  ];
}
