// The control plane, put together: values are joined here, by plain calls, in the order in which they need each other.

import { join } from "node:path";
import type { Fault } from "@aether/contract";
import { AgentConfigSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { createLogger, createStopStack, faultpoint, type Logger, type Stoppable, systemClock } from "@aether/kit";
import { createSigner, openAuthority } from "@aether/kit/identity";
import { create, type DescService } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { openPeople } from "./access/people.ts";
import { createArtifacts } from "./artifact/service.ts";
import { openSpool } from "./artifact/spool.ts";
import { createTransfers } from "./artifact/transfers.ts";
import { createActs } from "./audit/act.ts";
import { createAudit } from "./audit/audit.ts";
import { auditRoutes } from "./audit/service.ts";
import { createCertificates } from "./certificate/certificates.ts";
import { createProbes } from "./certificate/probes.ts";
import { commandRoutes } from "./command/service.ts";
import type { CoreConfig } from "./config.ts";
import { type ConfigSaid, sayConfig } from "./config-said.ts";
import { dashboardRoutes } from "./dashboard/service.ts";
import { openDatabase } from "./db/database.ts";
import { createDecisions } from "./decision/decisions.ts";
import { createPlanService } from "./decision/plan-service.ts";
import { createDrills } from "./drill/drills.ts";
import { createInjector } from "./drill/injector.ts";
import { createDrillSchedules } from "./drill/schedules.ts";
import { createChanges } from "./events/changes.ts";
import { createEvents } from "./events/events.ts";
import { createRetention } from "./events/retention.ts";
import { eventRoutes } from "./events/service.ts";
import { agentRoutes } from "./fleet/agent-service.ts";
import { createCommandStore } from "./fleet/command-store.ts";
import { createGateway, type Gateway } from "./fleet/gateway.ts";
import { createMemory } from "./fleet/memory.ts";
import { createMonitor } from "./fleet/monitor.ts";
import { nodeRoutes } from "./fleet/node-service.ts";
import { createSignalIntake } from "./fleet/signal-intake.ts";
import { createWorkloadReports } from "./fleet/workload-reports.ts";
import { createGuards } from "./guard/guards.ts";
import { railLimits } from "./guard/rails.ts";
import { releaseKeys } from "./http/idempotency.ts";
import { createRequestCounter, metricsText } from "./http/metrics.ts";
import type { OwnCall } from "./http/own-call.ts";
import { openWaysIn, type WaysIn } from "./http/ways-in.ts";
import { createCoreIdentity } from "./identity/core-identity.ts";
import { newId } from "./ids.ts";
import { lead } from "./leader/lead.ts";
import { createMigrations } from "./migration/migrations.ts";
import { openRetentionRules } from "./ops/retention-rules.ts";
import { createOps } from "./ops/service.ts";
import type { Part } from "./part.ts";
import { createPolicies } from "./policy/service.ts";
import { createPrices } from "./prices/prices.ts";
import { createReflex } from "./reflex/reflex.ts";
import { createAssessments } from "./risk/assessments.ts";
import { assessSettings } from "./risk/config.ts";
import { createRiskWatch } from "./risk/watch.ts";
import { createWeigh, weighingOf } from "./risk/weigh.ts";
import { createRunbooks } from "./runbook/service.ts";
import { createFeeds } from "./signals/feeds/feeds.ts";
import { signalRoutes } from "./signals/service.ts";
import { openSnapshotKeys } from "./snapshot/keys.ts";
import { createRevive } from "./snapshot/revive.ts";
import { createRpo } from "./snapshot/rpo.ts";
import { createSnapshots } from "./snapshot/service.ts";
import { createTelemetry } from "./telemetry/telemetry.ts";
import { parsePool } from "./workload/address-pool.ts";
import { createConverge } from "./workload/converge.ts";
import { createOffers } from "./workload/offers.ts";
import { workloadRoutes } from "./workload/service.ts";

export interface RunningCore extends Stoppable {
  readonly http: { readonly address: string; readonly port: number };
  readonly agents: { readonly address: string; readonly port: number };
  /** While there is no account: what makes the first one, an admin, at /first-admin#CODE. */
  readonly firstAdminCode: string | undefined;
  /** What it serves. */
  readonly services: readonly DescService[];
  /** Resolves with the reason if something without which core cannot go on has ended; stop it then. */
  readonly died: Promise<Fault>;
}

export interface StartOptions {
  /** What the configuration came from; default: the configuration itself. */
  readonly said?: ConfigSaid;
  readonly onDatabaseOpen?: () => void;
}

/** Starts the control plane. When it throws, nothing is left running. Throws LOCKED, CONFIG_INVALID, STORAGE_FAILED, UNAVAILABLE (a port). */
export async function runCore(
  config: CoreConfig,
  signal: AbortSignal,
  log: Logger = createLogger({ name: "core" }),
  { said, onDatabaseOpen = () => undefined }: StartOptions = {},
): Promise<RunningCore> {
  const stack = createStopStack(log);
  try {
    return await assemble(config, said ?? (await sayConfig({ overrides: config, environment: {} })), signal, log, stack, onDatabaseOpen);
  } catch (caught) {
    await stack.stop();
    throw caught;
  }
}

async function assemble(
  config: CoreConfig,
  { explained, configFile }: ConfigSaid,
  signal: AbortSignal,
  log: Logger,
  stack: ReturnType<typeof createStopStack>,
  onDatabaseOpen: () => void,
): Promise<RunningCore> {
  const clock = systemClock;
  const nowMs = () => clock.nowMs();
  const owner = newId("ses");
  const acts = createActs();
  const database = await openDatabase(
    { dataDir: config.dataDir, postgres: config.database, isDurable: config.embeddedDatabase.isDurable, hook: acts, log, owner },
    signal,
  );
  stack.add("database", database.close);
  const { db, notices } = database;
  onDatabaseOpen();
  await faultpoint("core.database_open");
  const authority = await openAuthority(config.authorityDir ?? config.dataDir, { trustDomain: config.trustDomain });
  const leadership =
    database.engine === "embedded" ? undefined : await lead(config, { ...database, owner }, authority.spkiPin(), signal, log);
  if (leadership) stack.add("leadership", leadership);

  const events = createEvents(db, notices);
  const audit = createAudit(db, nowMs);
  acts.useAudit(audit);
  const people = await openPeople({ db, config, audit, authority, clock, log });
  if (database.engine === "embedded") await releaseKeys(db);

  const identity = createCoreIdentity(config.dataDir, authority, config.identityTtlMs, clock, log);
  stack.add("identity", identity);
  await identity.start(signal);

  // Fleet
  const agentConfig = create(AgentConfigSchema, {
    heartbeatIntervalMs: config.heartbeat.intervalMs,
    imdsIntervalMs: config.imds.intervalMs,
    telemetryIntervalMs: config.telemetry.intervalMs,
  });
  const commands = createCommandStore(db);
  const signals = createSignalIntake(db, events, nowMs);
  const reports = createWorkloadReports(db, events, nowMs);
  const memory = createMemory({ db, events, reports, sessions: (): Gateway => gateway, nowMs, log });
  const changes = createChanges({ isConnected: (nodeId) => gateway.isConnected(nodeId), nowMs });
  const rules = await openRetentionRules(db, config, nowMs);
  const keepTelemetry = () => ({ fineMinutes: rules.value("telemetryFineMinutes"), days: rules.value("telemetryDays") });
  const telemetry = createTelemetry({
    db,
    events,
    log,
    nowMs,
    keep: keepTelemetry,
    intervalMs: config.telemetry.intervalMs,
    onWritten: () => changes.note("telemetry"),
    onPace: (intervalMs) => gateway.paceTelemetry(intervalMs),
  });
  const sign = createSigner(() => identity.current());
  const snapshotKeys = await openSnapshotKeys(config.authorityDir ?? config.dataDir);
  const gateway: Gateway = createGateway({
    commands,
    signals,
    memory: {
      ...memory,
      heard(nodeId, usage, clockOffsetMs) {
        memory.heard(nodeId, usage, clockOffsetMs);
        changes.heard(nodeId, usage);
      },
    },
    telemetry,
    agentConfig,
    term: leadership?.term ?? 0,
    sign,
    complete: snapshotKeys.complete,
    clock,
    log,
  });
  gateway.onHello((nodeId) => changes.turned(nodeId));
  gateway.onLost((nodeId) => changes.turned(nodeId));
  const monitor = createMonitor({ db, events, gateway, memory, reports, signals, clock, log, lostAfterMs: config.heartbeat.lostAfterMs });

  // Workloads and snapshots
  const offers = createOffers(db, gateway, memory);
  const converge = createConverge({ db, events, sessions: gateway, log });
  const pool = parsePool(config.addressPool);
  const policy = () => ({
    keepDays: rules.value("snapshotsDays"),
    keepEach: rules.value("snapshotsEach"),
    keepBytes: rules.value("snapshotsGigabytes") * 1e9,
  });
  const snapshots = createSnapshots({ db, events, audit, sessions: gateway, offers, converge, policy, nowMs, log });
  const retention = createRetention({
    db,
    needsVacuum: database.engine === "embedded",
    commands,
    keep: () => ({
      days: rules.value("eventsDays"),
      count: rules.value("eventsCount"),
      runbookRunsDays: rules.value("runbookRunsDays"),
    }),
    nowMs,
    log,
  });
  rules.onChange(() => {
    snapshots.retire();
    retention.wake();
    telemetry.wake();
  });

  // Moves, what leads to them, and their rehearsal
  const limits = railLimits(config.moves);
  const migrations = createMigrations({ db, events, sessions: gateway, limits, identity, log, nowMs });
  const { reconciler } = migrations;
  reconciler.onChange(() => changes.note("migration", "drill", "guard"));
  const weighing = weighingOf(config.decision.weighing);
  const weigh = createWeigh(weighing, assessSettings(config.risk));
  const decisions = createDecisions({
    db,
    events,
    audit,
    sessions: gateway,
    reconciler,
    policy: config.decision,
    weigh,
    limits,
    onSnapshotsWanted: snapshots.wake,
    nowMs,
    log,
  });
  const guards = createGuards({ db, events, limits, onChange: reconciler.lookAtGuards, nowMs });
  const certificates = createCertificates({
    db,
    events,
    sessions: gateway,
    limits,
    onMoveEnded: reconciler.onEnded,
    nowMs,
    log,
    ...config.certificates,
    onRefreshed: () => changes.note("certificate"),
  });
  const prices = createPrices({ db, config: config.prices, nowMs, log, onFetched: () => changes.note("price") });
  const { incidentHalfLifeSeconds } = config.risk.priors;
  const onFetched = () => changes.note("feed");
  const feeds = createFeeds({ db, config: config.feeds, incidentHalfLifeSeconds, nowMs, log, onFetched });
  const riskWatch = { db, signals, tell: gateway.tellSignal, isConnected: gateway.isConnected, weigh, weighing, nowMs, log };
  const watchRisk = config.decision.onRisk === "hold" ? undefined : createRiskWatch(riskWatch);
  const assessments = createAssessments({
    db,
    events,
    sessions: gateway,
    settings: { assess: assessSettings(config.risk), thresholds: config.risk.rules, ...config.risk },
    weighing,
    async afterPass() {
      changes.note("risk", "guard");
      await watchRisk?.();
    },
    nowMs,
    log,
  });
  const injector = createInjector(config.drill.injector);
  const drills = createDrills({
    db,
    events,
    audit,
    sessions: gateway,
    injector,
    canAnnounce: config.drill.injector !== undefined,
    onReport: () => changes.note("oracle"),
    assess: () => assessments.pass("price"),
    identity,
    trustDomain: config.trustDomain,
    nowMs,
    log,
  });

  const transfers = createTransfers();
  const agentRoute = agentRoutes({
    db,
    events,
    audit,
    tokens: people.tokens,
    authority,
    identityTtlMs: config.identityTtlMs,
    gateway,
    agentConfig,
    telemetry,
  });
  const { spoolGigabytes } = config.snapshots;
  const spool = openSpool(join(config.dataDir, "artifacts"), spoolGigabytes === undefined ? undefined : spoolGigabytes * 1e9);
  // Parts call each other's handlers, which are there only once all parts are.
  const call: OwnCall = (...asked) => waysIn.call(...asked);
  const act: OwnCall = (...asked) => waysIn.act(...asked);
  const artifacts = createArtifacts({ db, events, sessions: gateway, transfers, spool, call, pool, log });
  const metrics = { db, sessions: gateway, requests: createRequestCounter(), telemetry };
  const parts: readonly Part[] = [
    { routes: agentRoute },
    { routes: nodeRoutes({ db, events, sessions: gateway, memory, nowMs }) },
    { routes: workloadRoutes({ db, events, sessions: gateway, offers, converge, pool }) },
    ...people.parts,
    artifacts,
    { routes: dashboardRoutes({ db, sessions: gateway, nowMs }) },
    { routes: commandRoutes({ db, sessions: gateway, call }) },
    { routes: eventRoutes(events, changes) },
    { routes: auditRoutes(audit) },
    { routes: signalRoutes({ db, intake: signals, gateway, nowMs }) },
    migrations,
    guards,
    createPolicies({ db, events, nowMs }),
    createRunbooks({ db, events, call, act, nowMs, log, onChange: () => changes.note("runbook-run") }),
    certificates,
    createProbes({ db, sessions: gateway, nowMs, log, everyMs: config.certificates.probeEveryMs }),
    createRpo({ db, events, sessions: gateway, wake: snapshots.wake, nowMs, log }),
    createRevive({ db, events, audit, sessions: gateway, offers, converge, nowMs, log }),
    createReflex({ db, events, audit, sessions: gateway, sign, snapshotKeys, nowMs, log }),
    createPlanService({ db, sessions: gateway, limits, nowMs }),
    decisions,
    prices,
    feeds,
    assessments,
    drills,
    createDrillSchedules({ db, events, sessions: gateway, begin: drills.begin, nowMs, log }),
    snapshots,
    converge,
    monitor,
    telemetry,
    retention,
    createOps({
      db,
      artifacts,
      spool,
      call,
      engine: database.engine,
      config,
      explained,
      configFile,
      metrics: () => metricsText(metrics),
      sessions: gateway,
      retention: rules,
      nowMs,
      log,
    }),
  ];

  const stopping = new AbortController();
  const onAgentsPort = (router: ConnectRouter) => {
    agentRoute(router);
    transfers.routes(router);
  };
  const waysIn: WaysIn = await openWaysIn({
    config,
    parts,
    agentRoutes: onAgentsPort,
    people,
    audit,
    acts,
    identity,
    metrics,
    shutdownSignal: stopping.signal,
    clock,
    log,
  });

  for (const part of parts) {
    if (part.stop) stack.add("part", () => part.stop?.());
    await part.start?.(signal);
  }
  stack.add("agents' port", waysIn.agents);
  const agents = await waysIn.agents.listen(config.agents.port, config.agents.host);
  stack.add("people's port", waysIn.people);
  const http = await waysIn.people.listen(config.http.port, config.http.host);
  stack.add("sessions", () => {
    stopping.abort();
    gateway.endAll();
  });
  await events.append(db, { type: "core.started", subject: "core", message: `the control plane listens on ${http.address}:${http.port}` });
  log.info({ http, agents, dataDir: config.dataDir }, "core.started");
  if (!/^(127\.|::1$)/.test(http.address))
    log.warn(
      { http },
      "the people's port has no TLS and listens beyond this machine: put a proxy with TLS before it, or tokens can be read on their way",
    );
  return {
    http,
    agents,
    firstAdminCode: people.firstAdminCode,
    services: waysIn.services,
    died: Promise.race([database.died, ...(leadership ? [leadership.lost] : [])]),
    stop: () => stack.stop(),
  };
}
