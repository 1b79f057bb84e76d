// Starts a cloud in order, and keeps it: network, metadata service, core, agents, demo. Each part is a child process that is kept running.
// The record on disk is ahead of every side effect, so that whatever dies, `closeCloud` can take the rest apart.
import { existsSync } from "node:fs";
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Fault, fault } from "@aether/contract";
import { type Logger, readTextIfThere, type Stoppable, sleep, until, writeFileAtomic } from "@aether/kit";
import type { DemoConfig } from "../demo/main.ts";
import { demoName, demoPort, demoSpec } from "../demo/workload.ts";
import type { Reclaim } from "../imds/control.ts";
import type { ImdsConfig } from "../imds/main.ts";
import { type CloudLayout, cloudLayout, type LayoutOptions, type NodeLayout } from "../layout.ts";
import { findClash } from "../network/clash.ts";
import { claimFabric, openFabric } from "../network/fabric.ts";
import { type Child, startChild } from "../supervisor/child.ts";
import { type CoreApi, createCoreApi, type NodeView, trialRuns } from "../supervisor/core-api.ts";
import { refOf } from "../supervisor/process.ts";
import { keepRecord, type Missing, type RecordKeeper } from "../supervisor/record.ts";
import { cloudMark, sweepCloud, wholeCloud } from "../sweep/sweep.ts";
import { agentConfig, coreConfig } from "./daemon-config.ts";
import { type CloudPaths, cloudPaths, removedByDown } from "./paths.ts";
import { ready, refuseTakenPort } from "./ready.ts";
import { watchReclaims } from "./reclaim.ts";

export interface CloudOptions extends LayoutOptions {
  readonly dir: string;
  readonly port: number;
  readonly withDemo: boolean;
  readonly reclaim: Reclaim;
  /** How the daemons are started: `[...aether, "core", "--config", FILE]`. */
  readonly aether: readonly [string, ...string[]];
  /** What keeps this machine from having nodes; not empty: core starts alone. */
  readonly missing: readonly Missing[];
  readonly log: Logger;
  /** A line for people, as each part stands. */
  readonly say: (text: string) => void;
}

export interface Cloud extends Stoppable {
  readonly url: string;
  readonly layout: CloudLayout;
  readonly token: string;
}

/**
 * Starts all and returns when it is ready. On failure, everything is taken apart again and the reason is thrown with the end of the log of
 * the part that failed. `stop` ends all in the reverse order and leaves nothing but the logs.
 */
export async function openCloud(options: CloudOptions, signal: AbortSignal): Promise<Cloud> {
  const paths = cloudPaths(options.dir);
  const hasNodes = options.missing.length === 0 && options.nodeCount !== 0;
  const layout = cloudLayout({ ...options, nodeCount: hasNodes ? (options.nodeCount ?? 2) : 0 });
  const self = refOf(process.pid);
  if (self === undefined) throw fault("TOOL_MISSING", "this system has no /proc", { hint: "The local cloud needs Linux." });
  const clash = hasNodes ? await findClash(layout, paths.dir) : undefined;
  if (clash !== undefined) throw fault("LOCKED", clash.what, { hint: clash.mend });
  await refuseTakenPort(options.port);

  await mkdir(join(paths.dir, "run"), { recursive: true, mode: 0o700 });
  await chmod(paths.dir, 0o700);
  if (hasNodes) await claimFabric(layout);
  const url = `http://127.0.0.1:${options.port}`;
  const keeper = await keepRecord(paths.dir, {
    state: "starting",
    prefix: layout.prefix,
    subnet: layout.subnet,
    nodeCount: layout.nodes.length,
    url,
    supervisor: self,
    processes: {},
    progress: [],
    missing: [...options.missing],
  });
  const building = createBuilding(options, paths, layout, keeper, url, hasNodes);
  try {
    const token = await building.build(signal);
    await keeper.change({ state: "ready" });
    return { url, layout, token, stop: building.takeApart };
  } catch (caught) {
    const problem = Fault.from(caught);
    await building.endAll();
    await sweepCloud(paths.dir, wholeCloud(layout.prefix), Object.values(keeper.record.processes));
    for (const name of removedByDown) if (name !== "cloud.json") await rm(join(paths.dir, name), { recursive: true, force: true });
    await keeper.change({ state: "failed", error: { code: problem.code, message: problem.message, hint: problem.hint } });
    throw problem;
  }
}

function createBuilding(
  options: CloudOptions,
  paths: CloudPaths,
  layout: CloudLayout,
  keeper: RecordKeeper,
  url: string,
  hasNodes: boolean,
) {
  const children: Child[] = [];
  const ended = new AbortController();
  let adminToken = "";
  const api = createCoreApi(url, () => adminToken);

  const say = async (text: string) => {
    options.say(text);
    await keeper.change({ progress: [...keeper.record.progress, text] });
  };

  const start = (name: string, command: readonly [string, ...string[]]): Child => {
    const child = startChild({
      name,
      command,
      environment: { ...cloudMark(paths.dir), AETHER_PROCESS: name },
      logFile: paths.log(name),
      log: options.log,
      onStart: (ref) => void keeper.change({ processes: { ...keeper.record.processes, [name]: ref } }),
    });
    children.push(child);
    return child;
  };

  const inNamespace = (namespace: string, command: readonly string[]): [string, ...string[]] => [
    "nsenter",
    `--net=/run/netns/${namespace}`,
    ...command,
  ];

  async function build(signal: AbortSignal): Promise<string> {
    const stopwatch = startStopwatch();
    if (hasNodes) {
      await openFabric(layout, paths.dir);
      await startImds(signal);
      const atReclaim = options.reclaim === "kill" ? "a reclaimed node is killed" : "a reclaim is announced, and nothing is killed";
      await say(`network and metadata service for ${layout.nodes.length} nodes${stopwatch()}; ${atReclaim}`);
    }
    await writeConfig(paths.coreConfig, coreConfig(layout, paths, options.port, hasNodes));
    const core = start("core", [...options.aether, "core", "--config", paths.coreConfig]);
    await ready("core", core, 60_000, () => api.isReady(), signal);
    const hasToken = async () => {
      adminToken = (await readTextIfThere(paths.adminTokenFile))?.trim() ?? "";
      return adminToken !== "";
    };
    await ready("core's administrator token", core, 5_000, hasToken, signal);
    await writeFileAtomic(paths.cliConfig, `${JSON.stringify({ url, token: adminToken }, null, 2)}\n`);
    await say(`core answers at ${url}${stopwatch()}`);
    if (!hasNodes) return adminToken;

    const agents = new Map<NodeLayout, Child>();
    for (const node of layout.nodes) agents.set(node, await startAgent(node));
    for (const [node, agent] of agents) {
      await ready(`node ${node.id}`, agent, 60_000, async () => (await viewOf(node)).isConnected, signal);
    }
    await say(`nodes ${layout.nodes.map((node) => node.id).join(", ")} registered${stopwatch()}`);
    if (options.reclaim === "kill") watchReclaims({ paths, layout, agents, log: options.log, say: options.say }, ended.signal);
    if (options.withDemo) {
      await startDemo(api, signal);
      await say(`workload ${demoName} serves its client at ${layout.demoAddress}:${demoPort}${stopwatch()}`);
    }
    for (const [node, agent] of agents) await untilTried(node, agent, signal);
    return adminToken;
  }

  /** A cloud is ready when its nodes have shown by doing whether they can move workloads: a drill right after `up` must find a target. */
  async function untilTried(node: NodeLayout, agent: Child, signal: AbortSignal): Promise<void> {
    let seen: NodeView | undefined;
    const isTried = async () => {
      seen = await viewOf(node);
      return seen.isConnected && (seen.canMove || seen.reason !== trialRuns);
    };
    await ready(`the trial checkpoint on ${node.id}`, agent, 60_000, isTried, signal);
    if (seen?.canMove === false) await say(`${node.id} runs workloads but cannot move them: ${seen.reason}`);
  }

  async function viewOf(node: NodeLayout): Promise<NodeView> {
    const found = (await api.nodes()).find((each) => each.id === node.id);
    return found ?? { id: node.id, isConnected: false, canMove: false, reason: trialRuns };
  }

  async function startImds(signal: AbortSignal): Promise<void> {
    const config: ImdsConfig = {
      prefix: layout.prefix,
      subnet: layout.subnet,
      nodeCount: layout.nodes.length,
      controlSocket: paths.labSocket,
      reclaim: options.reclaim,
    };
    await writeConfig(paths.imdsConfig, config);
    const command = [process.execPath, ...small, entry("../imds/main.js"), paths.imdsConfig];
    const imds = start("imds", inNamespace(layout.fabricNamespace, command));
    await ready("the metadata service", imds, 15_000, async () => imds.tail(5).includes("metadata service ready"), signal);
  }

  async function startAgent(node: NodeLayout): Promise<Child> {
    const joinToken = await api.createToken(`node-${node.id}`, "ROLE_AGENT", 3600);
    const file = paths.agentConfig(node.id);
    await writeConfig(file, agentConfig(layout, node, paths, joinToken));
    return start(`agent-${node.id}`, inNamespace(node.namespace, [...options.aether, "agent", "--config", file]));
  }

  async function startDemo(core: CoreApi, signal: AbortSignal): Promise<void> {
    await core.runWorkload(demoSpec(layout.demoAddress), layout.nodes[0]?.id ?? "");
    await until(
      `workload ${demoName}`,
      100,
      30_000,
      async () => {
        const seen = await core.workload(demoName);
        if (seen?.state === "WORKLOAD_STATE_FAILED" || seen?.state === "WORKLOAD_STATE_EXITED") {
          throw fault("WORKLOAD_START_FAILED", `workload ${demoName}: ${seen.reason || seen.state}`);
        }
        return seen?.state === "WORKLOAD_STATE_RUNNING" && seen.health !== "HEALTH_STATE_FAILING" ? true : undefined;
      },
      signal,
    );
    const config: DemoConfig = {
      url,
      token: await core.createToken("demo-client", "ROLE_OPERATOR", 30 * 86_400),
      name: demoName,
      workload: demoName,
      address: layout.demoAddress,
      port: demoPort,
      journal: paths.demoJournal,
    };
    await writeConfig(paths.demoConfig, config);
    // The journal is of this cloud; the one before is kept beside it.
    if (existsSync(paths.demoJournal)) await rename(paths.demoJournal, `${paths.demoJournal}.1`);
    start("demo", [process.execPath, ...small, entry("../demo/main.js"), paths.demoConfig]);
  }

  async function endAll(): Promise<void> {
    ended.abort();
    const inOrder = [...children].reverse();
    // Agents take no order from each other, so they end side by side.
    await Promise.all(inOrder.filter((child) => child.name.startsWith("agent-")).map((child) => child.stop()));
    for (const child of inOrder) await child.stop();
  }

  return {
    build,
    endAll,
    async takeApart() {
      await keeper.change({ state: "stopping" });
      await endAll();
      await sweepCloud(paths.dir, wholeCloud(layout.prefix), Object.values(keeper.record.processes));
      for (const name of removedByDown) await rm(join(paths.dir, name), { recursive: true, force: true });
    },
  };
}

async function writeConfig(file: string, config: object): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFileAtomic(file, `${JSON.stringify(config, null, 2)}\n`); // JSON is YAML
}

function startStopwatch(): () => string {
  let lastMs = performance.now();
  return () => {
    const passedMs = performance.now() - lastMs;
    lastMs = performance.now();
    return ` (${(passedMs / 1000).toFixed(1)} s)`;
  };
}

/** For processes that do little: a small heap is collected often instead of growing to 120 MB. */
const small = ["--max-semi-space-size=1", "--max-old-space-size=64", "--optimize-for-size"];

const entry = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Resolves when the signal aborts. */
export async function untilAborted(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await sleep(3_600_000, signal).catch(() => undefined); // the abort is what is waited for
}
