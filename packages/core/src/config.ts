// The control plane's configuration: a YAML file, AETHER_CORE_* variables, and what the caller gives, in rising order.
import { z } from "zod";
import { oidcConfig } from "./access/oidc.ts";
import { databaseConfig } from "./db/postgres-config.ts";
import { pricesConfig } from "./prices/config.ts";
import { riskConfig, weighingConfig } from "./risk/config.ts";
import { feedsConfig } from "./signals/feeds/config.ts";
import { parsePool } from "./workload/address-pool.ts";

const port = z.int().min(0).max(65_535);

const pool = z.string().refine((text) => {
  try {
    parsePool(text);
    return true;
  } catch {
    return false;
  }
}, "must be an IPv4 network of /16 to /30, e.g. 10.77.1.0/24");

export const coreConfig = z.strictObject({
  /** The embedded database, authority and identity. 0700. */
  dataDir: z.string().startsWith("/"),
  /** A PostgreSQL server; left out: the embedded database in dataDir. */
  database: databaseConfig,
  /** The embedded database: whether a commit waits for the disk. false is safe against kill -9, not against loss of power: for trials and tests. */
  embeddedDatabase: z.strictObject({ isDurable: z.boolean().default(true) }).prefault({}),
  /** People and programs: REST, Connect, gRPC-web and gRPC on one port, without TLS, so on the loopback by default. */
  http: z.strictObject({ host: z.string().default("127.0.0.1"), port: port.default(3000) }).prefault({}),
  /** Agents: gRPC over mutual TLS 1.3. */
  agents: z.strictObject({ host: z.string().default("0.0.0.0"), port: port.default(3443) }).prefault({}),
  trustDomain: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{0,100}$/)
    .default("aether.local"),
  /** Addresses for workloads that do not ask for one. */
  addressPool: pool.default("10.77.1.0/24"),
  /** Of authority.pem, the key of the trust domain; the same on every control plane of a database. Default: dataDir. */
  authorityDir: z.string().startsWith("/").optional(),
  /** Several control planes on one PostgreSQL: one leads, and another takes over when it was not heard by the database for so long. */
  leadership: z.strictObject({ leaseMs: z.int().min(500).max(60_000).default(3_000) }).prefault({}),
  /** Life of a node's certificate; renewed at half of it. */
  identityTtlMs: z
    .int()
    .min(10_000)
    .max(30 * 86_400_000)
    .default(3_600_000),
  /** The first admin's token is written here at the first start (0600). Default: DATADIR/admin.token. */
  adminTokenFile: z.string().startsWith("/").optional(),
  /** Where traces can be looked at, with {traceId} in it, e.g. http://localhost:16686/trace/{traceId} (Jaeger): the dashboard links there. */
  traceUrl: z
    .url({ protocol: /^https?$/ })
    .refine((text) => text.includes("{traceId}"), "must have {traceId} in it")
    .optional(),
  /** People who sign in with a browser. */
  access: z
    .strictObject({
      /** A session ends this long after the sign-in, and this long after its last request. */
      sessionHours: z.number().positive().max(8760).default(168),
      sessionIdleHours: z.number().positive().max(8760).default(24),
      /** Besides names and passwords. */
      oidc: oidcConfig.optional(),
    })
    .prefault({}),
  /** What a rebalance recommendation leads to; a notice always leads to moves. */
  decision: z
    .strictObject({
      /** `weigh`: what is expected to pay moves; `migrate`: everything; `hold`: nothing moves before a notice. */
      onRebalance: z.enum(["weigh", "migrate", "hold"]).default("weigh"),
      /** `weigh`: a move that is expected to pay is made without any signal; `hold`: not before a recommendation or notice. */
      onRisk: z.enum(["weigh", "hold"]).default("weigh"),
      weighing: weighingConfig,
    })
    .prefault({}),
  /** Assessments of nodes and pools. */
  risk: riskConfig,
  /** Spot and on-demand prices, placement scores, the Spot Advisor. */
  prices: pricesConfig,
  /** Status feeds of providers. */
  feeds: feedsConfig,
  /** Snapshots: the last good one of a workload, pinned ones and those in use are never removed; of the others the oldest go first. */
  snapshots: z
    .strictObject({
      keepDays: z.number().positive().max(3650).default(90),
      /** Of one workload. */
      keepEach: z.int().min(1).max(10_000).default(50),
      /** In all, by the size of what was saved. */
      keepGigabytes: z.number().positive().default(1000),
    })
    .prefault({}),
  /** Every workload's evacuation certificate is recomputed so often; less often where a pass would take a tenth of the time. */
  certificates: z.strictObject({ everyMs: z.int().min(100).max(600_000).default(5_000) }).prefault({}),
  /** Guard rails of moves. */
  moves: z
    .strictObject({
      /** Under way in the whole fleet, and from or to one node. */
      atOnce: z.int().min(1).max(10_000).default(32),
      atOnceEachNode: z.int().min(1).max(100).default(4),
      /** A workload that moved rests this long before a move that nothing forces; each failure in a row doubles it. */
      restSeconds: z.number().min(0).max(86_400).default(600),
      /** So many failures in a row between two nodes, and no move is made between them for so long. */
      circuitFailures: z.int().min(1).max(100).default(3),
      circuitSeconds: z.number().min(1).max(86_400).default(600),
    })
    .prefault({}),
  drill: z.strictObject({ injector: z.string().startsWith("/").optional() }).prefault({}),
  heartbeat: z
    .strictObject({
      /** What changes is told at once; a heartbeat says that a node is there, and what it uses. */
      intervalMs: z.int().min(100).max(60_000).default(2000),
      /** A node that is not heard for this long is LOST. */
      lostAfterMs: z.int().min(500).max(600_000).default(6000),
    })
    .prefault({}),
  /** What nodes and workloads use: measured so often, kept as it came for an hour and as averages of a minute for a week. */
  telemetry: z
    .strictObject({
      intervalMs: z.int().min(1_000).max(60_000).default(5_000),
      keepFineMinutes: z
        .int()
        .min(5)
        .max(24 * 60)
        .default(60),
      keepDays: z.int().min(1).max(90).default(7),
    })
    .prefault({}),
  imds: z.strictObject({ intervalMs: z.int().min(200).max(60_000).default(1000) }).prefault({}),
  rateLimit: z
    .strictObject({
      perTokenPerSecond: z.number().positive().default(50),
      perAddressPerSecond: z.number().positive().default(100),
      /** What is refused to one address is on the audit log this often, after a burst; the rest is only counted. */
      auditedDenialsPerSecond: z.number().positive().default(1),
      /** Streams (events, logs, downloads) that one token or session may hold open. */
      streamsPerToken: z.int().min(1).max(10_000).default(20),
      /** Requests that may come at once before the rate counts. */
      burst: z.int().positive().default(300),
    })
    .prefault({}),
  /** Events are kept this long and at most this many. */
  events: z.strictObject({ keepDays: z.int().positive().default(14), keepCount: z.int().positive().default(100_000) }).prefault({}),
});

export type CoreConfig = z.infer<typeof coreConfig>;
export type CoreConfigInput = z.input<typeof coreConfig>;
