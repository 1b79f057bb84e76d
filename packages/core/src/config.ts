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
  dataDir: z.string().startsWith("/").describe("The embedded database, authority and identity. 0700."),
  /** A PostgreSQL server; left out: the embedded database in dataDir. */
  database: databaseConfig,
  embeddedDatabase: z
    .strictObject({
      isDurable: z
        .boolean()
        .default(true)
        .describe("A commit waits for the disk. false is safe against kill -9, not against loss of power: for trials and tests."),
    })
    .prefault({}),
  /** People and programs: REST, Connect, gRPC-web and gRPC on one port, without TLS, so on the loopback by default. */
  http: z
    .strictObject({
      host: z
        .string()
        .default("127.0.0.1")
        .describe("People and programs: REST, Connect, gRPC-web and gRPC on one port, without TLS, so on the loopback by default."),
      port: port.default(3000).describe("0: any free one."),
    })
    .prefault({}),
  /** Agents: gRPC over mutual TLS 1.3. */
  agents: z
    .strictObject({
      host: z.string().default("0.0.0.0").describe("Agents: gRPC over mutual TLS 1.3."),
      port: port.default(3443).describe("0: any free one."),
    })
    .prefault({}),
  trustDomain: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{0,100}$/)
    .default("aether.local")
    .describe("Of every identity that the built-in authority issues; never changed afterwards."),
  addressPool: pool.default("10.77.1.0/24").describe("Addresses for workloads that do not ask for one."),
  authorityDir: z
    .string()
    .startsWith("/")
    .optional()
    .describe("Of authority.pem, the key of the trust domain; the same on every control plane of a database. Default: dataDir."),
  leadership: z
    .strictObject({
      leaseMs: z
        .int()
        .min(500)
        .max(60_000)
        .default(3_000)
        .describe(
          "Several control planes on one PostgreSQL: another takes over when the leader was not heard by the database for so long.",
        ),
    })
    .prefault({}),
  identityTtlMs: z
    .int()
    .min(10_000)
    .max(30 * 86_400_000)
    .default(3_600_000)
    .describe("Life of a node's certificate; renewed at half of it."),
  adminTokenFile: z
    .string()
    .startsWith("/")
    .optional()
    .describe("The first admin's token is written here at the first start (0600). Default: DATADIR/admin.token."),
  traceUrl: z
    .url({ protocol: /^https?$/ })
    .refine((text) => text.includes("{traceId}"), "must have {traceId} in it")
    .optional()
    .describe(
      "Where traces can be looked at, with {traceId} in it, e.g. http://localhost:16686/trace/{traceId} (Jaeger): the dashboard links there.",
    ),
  /** People who sign in with a browser. */
  access: z
    .strictObject({
      sessionHours: z
        .number()
        .positive()
        .max(8760)
        .default(168)
        .describe("A session ends this long after the sign-in, and this long after its last request."),
      sessionIdleHours: z.number().positive().max(8760).default(24).describe("A session ends this long after its last request."),
      nodeTokensWithoutTls: z
        .boolean()
        .default(false)
        .describe(
          "Tokens of nodes (agents without streams) are taken over the people's port from other machines too, although it has no TLS of its own: only where the network itself is private.",
        ),
      /** Besides names and passwords. */
      oidc: oidcConfig.optional(),
    })
    .prefault({}),
  /** What a rebalance recommendation leads to; a notice always leads to moves. */
  decision: z
    .strictObject({
      onRebalance: z
        .enum(["weigh", "migrate", "hold"])
        .default("weigh")
        .describe("`weigh`: what is expected to pay moves; `migrate`: everything; `hold`: nothing moves before a notice."),
      onRisk: z
        .enum(["weigh", "hold"])
        .default("weigh")
        .describe("`weigh`: a move that is expected to pay is made without any signal; `hold`: not before a recommendation or notice."),
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
      keepDays: z
        .number()
        .positive()
        .max(3650)
        .default(90)
        .describe("Older ones go, but for the last good one of a workload, pinned ones and those in use."),
      keepEach: z.int().min(1).max(10_000).default(50).describe("Of one workload."),
      keepGigabytes: z.number().positive().default(1000).describe("In all, by the size of what was saved."),
      spoolGigabytes: z
        .number()
        .positive()
        .optional()
        .describe("Of dataDir, for downloads and uploads of snapshots on their way. Default: what its disk has, less a twentieth of it."),
    })
    .prefault({}),
  certificates: z
    .strictObject({
      everyMs: z
        .int()
        .min(100)
        .max(600_000)
        .default(5_000)
        .describe("Evacuation certificates are recomputed so often; less often where a pass would take a tenth of the time."),
      probeEveryMs: z
        .int()
        .min(100)
        .max(86_400_000)
        .default(60_000)
        .describe(
          "One pair of nodes measures the way between them so often, by a transfer of at most 32 MiB; each pair every quarter of an hour.",
        ),
    })
    .prefault({}),
  /** Guard rails of moves. */
  moves: z
    .strictObject({
      atOnce: z.int().min(1).max(10_000).default(32).describe("Under way in the whole fleet, and from or to one node."),
      atOnceEachNode: z.int().min(1).max(100).default(4).describe("From or to one node."),
      restSeconds: z
        .number()
        .min(0)
        .max(86_400)
        .default(600)
        .describe("A workload that moved rests this long before a move that nothing forces; each failure in a row doubles it."),
      circuitFailures: z
        .int()
        .min(1)
        .max(100)
        .default(3)
        .describe("So many failures in a row between two nodes, and no move is made between them for so long."),
      circuitSeconds: z.number().min(1).max(86_400).default(600).describe("How long such a pair is not used."),
    })
    .prefault({}),
  drill: z
    .strictObject({
      injector: z
        .string()
        .startsWith("/")
        .optional()
        .describe(
          "The unix socket at which interruptions are announced; the local cloud sets it. Without it drills of notices are refused.",
        ),
    })
    .prefault({}),
  heartbeat: z
    .strictObject({
      intervalMs: z
        .int()
        .min(100)
        .max(60_000)
        .default(2000)
        .describe("What changes is told at once; a heartbeat says that a node is there, and what it uses."),
      lostAfterMs: z.int().min(500).max(600_000).default(6000).describe("A node that is not heard for this long is LOST."),
    })
    .prefault({}),
  /** What nodes and workloads use: measured so often, kept as it came for an hour and as averages of a minute for a week. */
  telemetry: z
    .strictObject({
      intervalMs: z.int().min(1_000).max(60_000).default(5_000).describe("Nodes and workloads are measured so often."),
      keepFineMinutes: z
        .int()
        .min(5)
        .max(24 * 60)
        .default(60)
        .describe("Samples as they came are kept so long."),
      keepDays: z.int().min(1).max(90).default(7).describe("Averages of a minute are kept so long."),
    })
    .prefault({}),
  imds: z
    .strictObject({ intervalMs: z.int().min(200).max(60_000).default(1000).describe("Agents ask the instance metadata service so often.") })
    .prefault({}),
  rateLimit: z
    .strictObject({
      perTokenPerSecond: z.number().positive().default(50).describe("Requests of one token, after a burst."),
      perAddressPerSecond: z.number().positive().default(100).describe("Requests of one address, after a burst."),
      auditedDenialsPerSecond: z
        .number()
        .positive()
        .default(1)
        .describe("What is refused to one address is on the audit log this often, after a burst; the rest is only counted."),
      streamsPerToken: z
        .int()
        .min(1)
        .max(10_000)
        .default(20)
        .describe("Streams (events, logs, downloads) that one token or session may hold open."),
      burst: z.int().positive().default(300).describe("Requests that may come at once before the rate counts."),
    })
    .prefault({}),
  events: z
    .strictObject({
      keepDays: z.int().positive().default(14).describe("Events are kept so long,"),
      keepCount: z.int().positive().default(100_000).describe("and at most so many."),
    })
    .prefault({}),
  runbooks: z
    .strictObject({
      keepRunsDays: z
        .int()
        .min(1)
        .max(3_650)
        .default(90)
        .describe("Runs that have ended are kept so long; the newest of each runbook stays, and one under way is never removed."),
    })
    .prefault({}),
});

export type CoreConfig = z.infer<typeof coreConfig>;
export type CoreConfigInput = z.input<typeof coreConfig>;
