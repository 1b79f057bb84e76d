// One agent, joined by plain constructor calls. The order is the promise: state on disk is opened first, the engine puts right what a crash
// left, interrupted commands get their answer, and only then does the node hear commands. Hearing interruptions begins before the control
// plane is reached, and goes on without it. Stopping leaves every workload running.
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@aether/contract";
import type { AgentConfig as CoreGivenConfig } from "@aether/contract/gen/aether/v2/agent_pb";
import { createEngine, type Engine, type EngineOptions } from "@aether/engine";
import { createLogger, createStopStack, type Logger, loadConfig, runUntilSignalled, type Stoppable, sleep, systemClock } from "@aether/kit";
import { coreSpiffeId, createSignatureCheck, type IdentitySource, parseSpiffeId } from "@aether/kit/identity";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createDispatcher } from "./commands/dispatcher.ts";
import { openCommandJournal } from "./commands/journal.ts";
import { type AgentConfig, agentConfigSchema, chooseNodeId, findHostInterface, findLinkAddress, findTools } from "./config.ts";
import { lockDirectory } from "./disk/lock.ts";
import { factsOf, probeHost } from "./host/capabilities.ts";
import { readMachine } from "./host/machine.ts";
import { createMeasured } from "./host/measured.ts";
import { createTelemetry } from "./host/telemetry.ts";
import { createUsageMeter } from "./host/usage.ts";
import { createImdsClient } from "./imds/client.ts";
import type { Announced } from "./imds/watch.ts";
import { findInstance, watchWhenThere } from "./imds/watching.ts";
import { createCoreAddresses } from "./link/addresses.ts";
import { createNodeIdentity, nodeIdIn } from "./link/enrol.ts";
import { type Session, startSession } from "./link/session.ts";
import { openSpool } from "./link/spool.ts";
import { createTransfers } from "./link/transfers.ts";
import { openCoreLink } from "./link/transport.ts";
import { openPlanFile } from "./reflex/plan-file.ts";
import { startReflex } from "./reflex/reflex.ts";
import { startTrials } from "./trials/trials.ts";
import { type StatusReport, startBoard } from "./workloads/board.ts";
import { type PreflightMessage, startPreflights } from "./workloads/preflights.ts";

export interface RunOptions {
  readonly configFile?: string | undefined;
  /** Values that win over file and environment. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  /** Ends the agent like SIGTERM does. */
  readonly signal?: AbortSignal;
  /** The mover of workloads. Default: the engine; another one in tests. */
  readonly createEngine?: (options: EngineOptions) => Promise<Engine>;
  readonly log?: Logger;
}

/**
 * Runs the agent until SIGTERM, SIGINT or `signal`; workloads run on after it.
 * Throws before it runs: CONFIG_INVALID, LOCKED (another agent has the state directory), JOIN_TOKEN_INVALID, NODE_NAME_TAKEN.
 */
export async function run(options: RunOptions = {}): Promise<void> {
  const config = await loadConfig(agentConfigSchema, {
    file: options.configFile,
    prefix: "AETHER_AGENT",
    ...(options.overrides && { overrides: options.overrides }),
  });
  const log = options.log ?? createLogger({ name: "agent", level: config.logLevel });
  await runUntilSignalled(log, (signal) => startAgent(config, log, options.createEngine ?? createEngine, signal), options.signal);
}

async function startAgent(
  config: AgentConfig,
  log: Logger,
  makeEngine: (options: EngineOptions) => Promise<Engine>,
  signal: AbortSignal,
): Promise<Stoppable> {
  const stack = createStopStack(log);
  try {
    await assemble(config, log, makeEngine, stack, signal);
    return stack;
  } catch (caught) {
    await stack.stop().catch((cause: unknown) => log.error({ err: cause }, "the agent did not stop cleanly"));
    throw caught;
  }
}

async function assemble(
  config: AgentConfig,
  log: Logger,
  makeEngine: (options: EngineOptions) => Promise<Engine>,
  stack: ReturnType<typeof createStopStack>,
  signal: AbortSignal,
): Promise<void> {
  // State on disk
  const { stateDir } = config;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  stack.add("lock", await lockDirectory(stateDir));
  const journal = await openCommandJournal({ dir: join(stateDir, "commands"), log });
  stack.add("journal", () => journal.close());
  const spool = await openSpool({ dir: join(stateDir, "spool"), maxBytes: config.spoolMaxBytes, log, clock: systemClock });
  stack.add("spool", () => spool.close());

  // What the control plane sets
  let given = { heartbeatIntervalMs: 2_000, imdsIntervalMs: 1_000, telemetryIntervalMs: 5_000 };
  const takeConfig = (next: CoreGivenConfig | undefined) => {
    if (next === undefined) return;
    given = {
      heartbeatIntervalMs: next.heartbeatIntervalMs || 2_000,
      imdsIntervalMs: next.imdsIntervalMs || 1_000,
      telemetryIntervalMs: next.telemetryIntervalMs || 5_000,
    };
    for (const [what, why] of Object.entries(next.switchedOff)) log.warn({ what, why }, "the control plane has switched this off");
  };

  // Interruptions
  let session: Session | undefined;
  const imds = createImdsClient({ endpoint: config.imds.endpoint });
  stack.add("metadata client", () => imds.close());
  const instance = config.imds.enabled === false ? undefined : await findInstance(imds, log, signal);
  let announced: () => Announced = () => ({});
  if (config.imds.enabled !== false) {
    const watching = watchWhenThere(
      {
        config,
        imds,
        isThere: instance !== undefined,
        spool,
        log,
        intervalMs: () => given.imdsIntervalMs,
        onSignal: () => session?.flushSignals(),
      },
      signal,
    );
    announced = () => watching.announced();
    stack.add("interruption watcher", watching);
  }

  // The machine and who it is
  const machine = await readMachine();
  const tools = await findTools(config.tools);
  const hostInterface = await findHostInterface(config.hostInterface);
  const linkAddress = findLinkAddress(config.linkAddress, hostInterface);
  const agentVersion = await readVersion();
  let probes = await probeHost(machine, tools, signal);
  let link = { address: linkAddress, port: config.linkPort };
  const facts = () => factsOf(machine, probes, link, instance, agentVersion, config);
  const addresses = createCoreAddresses(config.coreAddress);
  const identity = createNodeIdentity({
    ...{ addresses, joinToken: config.joinToken, joinTokenFile: config.joinTokenFile, stateDir, log },
    nodeId: chooseNodeId(config.nodeId, instance?.instanceId),
    facts: async () => facts(),
    onRegistered: ({ config: next }) => takeConfig(next),
  });
  stack.add("identity", identity);
  await identity.start(signal);
  const nodeId = nodeIdIn(identity.current());
  if (config.nodeId !== undefined && config.nodeId !== nodeId) {
    throw fault("CONFIG_INVALID", `this node has joined as ${nodeId}; nodeId says ${config.nodeId}`, {
      field: "nodeId",
      hint: `Remove nodeId, or remove ${join(stateDir, "identity.json")} and join again with a new token.`,
    });
  }

  const openSigned = createSignatureCheck(() => {
    const { trustBundlePem, spiffeId } = identity.current();
    return { trustBundlePem, spiffeId: coreSpiffeId(parseSpiffeId(spiffeId).trustDomain) };
  });

  const plans = await openPlanFile({ stateDir, nodeId, openSigned });

  // Workloads
  const engine = await makeEngine({
    hostId: config.hostId ?? nodeId,
    stateDir: join(stateDir, "engine"),
    snapshotDir: config.snapshotDir,
    hiddenPaths: hiddenPaths(config),
    ...(config.snapshotBucket && { snapshotBucket: bucketOf(config.snapshotBucket) }),
    tools,
    hostInterface,
    ...(config.packetHold && { packetHold: config.packetHold }),
    linkAddress,
    linkPort: config.linkPort,
    identity: identity satisfies IdentitySource,
    log: log.child({ part: "engine" }),
    settle: collectGarbage,
  });
  stack.add("engine", engine);
  await engine.recover(signal);
  link = { address: engine.link.address, port: engine.link.port };
  probes = { ...probes, kernel: await engine.kernel.probe(signal) };
  const board = await startBoard({
    runtime: engine.runtime,
    stateDir,
    log,
    onChange: (status) => session?.offer({ case: "workloadChange", value: { status } }),
  });
  stack.add("workload board", board);

  const names = () => board.reports().flatMap(({ name, phase }) => (phase === "running" && name !== undefined ? [name] : []));
  const preflights = startPreflights({ engine, running: names, log });
  stack.add("preflights", preflights);

  // The control plane
  const transfers = createTransfers(() => openCoreLink(addresses.current(), identity));
  const dispatcher = createDispatcher({
    engine,
    board,
    journal,
    nodeId,
    transfers,
    allowsChaos: config.allowChaos,
    log,
    session: () => session,
  });
  await dispatcher.settleInterrupted();
  session = startSession({
    connect: () => openCoreLink(addresses.next(), identity),
    onWelcome: () => addresses.keep(),
    // With another one to ask, waiting for this one is no use.
    ...(addresses.count > 1 ? { backoff: { firstMs: 200, maxMs: 1_000 } } : {}),
    hello: async () => ({
      facts: facts(),
      workloads: board.reports().map((report) => withPreflight(report, preflights.newest)),
      epochs: Object.fromEntries(Object.entries(journal.epochs()).map(([name, epoch]) => [name, BigInt(epoch)])),
      agentTime: timestampFromMs(Date.now()),
    }),
    spool,
    journal,
    log,
    openSigned,
    onCommand: dispatcher.take,
    onPlan: (plan) => {
      plans.keep(plan).catch((caught: unknown) => log.error({ err: caught }, "a reflex plan is not kept"));
    },
    onQuery: dispatcher.answer,
    onCancel: dispatcher.cancel,
    onConfig: takeConfig,
  });
  stack.add("session", session);
  const running = () =>
    new Map(
      board
        .reports()
        .filter(({ phase }) => phase === "running")
        .map(({ name, epoch }) => [name ?? "", Number(epoch ?? 0n)]),
    );
  const isConnected = () => session?.isConnected() ?? false;
  stack.add("reflex", startReflex({ plans, isConnected, notice: () => announced().notice, running, take: dispatcher.take, log }));
  stack.add("commands", dispatcher);

  const measure = createUsageMeter();
  const measured = createMeasured();
  stack.add(
    "heartbeat",
    repeat(
      () => given.heartbeatIntervalMs,
      log,
      "the heartbeat cannot be sent",
      async () => {
        if (!session?.isConnected()) return;
        const { memoryUsedBytes, memoryAvailableBytes, agentResidentBytes, cpuFraction } = await measure();
        const usage = {
          cpuFraction,
          memoryUsedBytes: BigInt(memoryUsedBytes),
          memoryAvailableBytes: BigInt(memoryAvailableBytes),
          agentResidentBytes: BigInt(agentResidentBytes),
        };
        const workloads = board.reports().map((report) => withPreflight(report, preflights.news));
        session.offer({
          case: "heartbeat",
          value: { agentTime: timestampFromMs(Date.now()), usage, workloads, measured: measured.take() },
        });
      },
    ),
  );
  const look = createTelemetry({
    hostInterface,
    runtime: engine.runtime,
    kernel: engine.kernel,
    usage: measure,
    workloads: board.reports,
    log,
  });
  stack.add(
    "telemetry",
    repeat(
      () => given.telemetryIntervalMs,
      log,
      "the telemetry cannot be measured",
      async () => {
        const report = await look();
        if (!session?.isConnected()) return;
        // One that measures more often than it says that it is there does not speak twice.
        if (given.telemetryIntervalMs < given.heartbeatIntervalMs) measured.keep(report);
        else session.offer({ case: "telemetry", value: report });
      },
    ),
  );

  // What this host can really do, beside everything else
  const trials = startTrials({
    canary: engine.canary,
    isMoving: async () => (await engine.runtime.list()).some(({ phase }) => phase === "frozen" || phase === "restored"),
    onResult(result) {
      probes = { ...probes, canary: result };
      session?.reconnect();
    },
    log,
  });
  stack.add("trials", trials);
  log.info({ nodeId, stateDir, link, agentVersion }, "agent.started");
}

function withPreflight(report: StatusReport, find: (workload: string) => PreflightMessage | undefined): StatusReport {
  const preflight = find(report.name ?? "");
  return preflight === undefined ? report : ({ ...report, preflight } as StatusReport);
}

/** Identities, tokens and configurations, ours and those of a control plane on the same machine. */
const hiddenPaths = ({ stateDir, joinTokenFile, hide }: AgentConfig): string[] => [
  ...[stateDir, "/etc/aether", "/var/lib/aether", ...(joinTokenFile === undefined ? [] : [joinTokenFile])],
  ...hide,
];

/** Calls `work` every so often, never twice at a time. */
function repeat(periodMs: () => number, log: Logger, problem: string, work: () => Promise<void>): Stoppable {
  const stopping = new AbortController();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await work().catch((caught: unknown) => log.warn({ err: caught }, problem));
      await sleep(periodMs(), stopping.signal).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopping.abort(fault("CANCELLED", "the agent stops"));
      await running;
    },
  };
}

/**
 * A move makes garbage enough for one collection of all the heap, of 25 to 100 ms of processor time: it would fall into most freezes. Exposed by `agentNodeFlags`,
 * else nothing happens.
 */
function collectGarbage(): void {
  const { gc } = globalThis as { gc?: () => void };
  gc?.();
}

/** What is not given is left to the client's own defaults. */
const bucketOf = ({ bucket, prefix, region, endpoint }: NonNullable<AgentConfig["snapshotBucket"]>) => ({
  bucket,
  prefix,
  ...(region === undefined ? {} : { region }),
  ...(endpoint === undefined ? {} : { endpoint }),
});

async function readVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
  return typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "";
}
