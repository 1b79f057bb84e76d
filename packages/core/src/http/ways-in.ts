// The two ports, put together: the gate and one row of interceptors before every handler, whatever the protocol; the agents' port with their services alone, and
// the people's with everything.
import { AgentService } from "@aether/contract/gen/aether/v2/agent_pb";
import type { Clock, Logger } from "@aether/kit";
import type { IdentitySource } from "@aether/kit/identity";
import type { DescService } from "@bufbuild/protobuf";
import { type ConnectRouter, createConnectRouter } from "@connectrpc/connect";
import { sql } from "kysely";
import { createGate } from "../access/gate.ts";
import type { People } from "../access/people.ts";
import { createRateLimit } from "../access/rate-limit.ts";
import { requireRoles } from "../access/roles.ts";
import type { Acts } from "../audit/act.ts";
import type { Audit } from "../audit/audit.ts";
import { auditInterceptor } from "../audit/interceptor.ts";
import type { CoreConfig } from "../config.ts";
import { pageRoutes } from "../page/routes.ts";
import type { Part } from "../part.ts";
import { createAgentsServer } from "./agents-server.ts";
import { coverInterceptor } from "./cover.ts";
import { faultInterceptor } from "./fault-interceptor.ts";
import { healthRoutes } from "./health.ts";
import { idempotencyInterceptor } from "./idempotency.ts";
import { type MetricsSources, metricsRoutes } from "./metrics.ts";
import type { OnePort } from "./one-port.ts";
import { referenceRoutes } from "./openapi/routes.ts";
import { createOwnCall, type OwnCall } from "./own-call.ts";
import { createPeopleServer } from "./people-server.ts";
import { plainTextInterceptor } from "./plain-text.ts";
import { entityTagInterceptor } from "./precondition.ts";
import { createResources } from "./rest/resources.ts";
import { streamLimitInterceptor } from "./stream-limit.ts";

export interface WaysInOptions {
  readonly config: CoreConfig;
  /** Everything that serves RPCs. */
  readonly parts: readonly Part[];
  /** What of it agents reach. */
  readonly agentRoutes: (router: ConnectRouter) => void;
  readonly people: People;
  readonly audit: Audit;
  readonly acts: Acts;
  readonly identity: IdentitySource;
  readonly metrics: MetricsSources;
  readonly shutdownSignal: AbortSignal;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface WaysIn {
  /** Of our own handlers, without gate and interceptors; and with the audit. */
  readonly call: OwnCall;
  readonly act: OwnCall;
  readonly services: readonly DescService[];
  readonly agents: OnePort;
  readonly people: OnePort;
}

export async function openWaysIn(options: WaysInOptions): Promise<WaysIn> {
  const { config, parts, agentRoutes, people, audit, acts, identity, metrics, shutdownSignal, clock, log } = options;
  const { db, requests } = metrics;
  const nowMs = () => clock.nowMs();
  const limit = (perSecond: number) => createRateLimit(perSecond, config.rateLimit.burst, () => clock.monotonicMs());
  const perAddress = limit(config.rateLimit.perAddressPerSecond);
  const gate = createGate({
    tokens: people.tokens,
    sessions: people.sessions,
    audit,
    perToken: limit(config.rateLimit.perTokenPerSecond),
    perAddress,
    denials: limit(config.rateLimit.auditedDenialsPerSecond),
    nodeTokensWithoutTls: config.access.nodeTokensWithoutTls,
    count: requests.count,
  });
  const routes = (router: ConnectRouter) => {
    for (const part of parts) part.routes?.(router);
  };
  const services = servicesOf(routes);
  requireRoles(services);
  const resources = createResources(routes);
  const audited = auditInterceptor(audit, acts, resources);
  const rpc = {
    requestGate: gate,
    interceptors: [
      faultInterceptor(log, requests.count),
      plainTextInterceptor,
      coverInterceptor,
      streamLimitInterceptor(config.rateLimit.streamsPerToken),
      idempotencyInterceptor(db, nowMs),
      entityTagInterceptor(resources),
      audited,
    ],
    shutdownSignal,
  };
  const readiness = {
    database: async () => {
      await sql`select 1`.execute(db);
    },
    identity: async () => {
      if (identity.current().expiresAtMs <= nowMs()) throw new Error("core's certificate has expired");
    },
  };
  return {
    call: createOwnCall(routes),
    act: createOwnCall(routes, [audited]),
    services: [...services],
    agents: createAgentsServer({ ...rpc, routes: agentRoutes, identity, trustDomain: config.trustDomain, log }),
    people: await createPeopleServer({
      ...rpc,
      routes,
      log,
      plain: [
        healthRoutes(readiness),
        metricsRoutes({ ...metrics, tokens: people.tokens, perAddress }),
        ...people.plain,
        (app) => pageRoutes(app),
        referenceRoutes([...services]),
      ],
    }),
  };
}

/** The services that are really mounted, found by mounting them. */
function servicesOf(routes: (router: ConnectRouter) => void): Set<DescService> {
  const router = createConnectRouter();
  routes(router);
  const services = new Set(router.handlers.map(({ service }) => service));
  if (!services.has(AgentService)) throw new Error("core without its agents' service");
  return services;
}
