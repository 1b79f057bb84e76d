// Every route of v1, served by what replaces it. What old clients read and has no meaning any more is null, never made up.
import { fault } from "@aether/contract";
import { AgentService, CommandOutcome, CommandSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { ArtifactService, DownloadArtifactRequestSchema } from "@aether/contract/gen/aether/v2/artifact_pb";
import { FeedService } from "@aether/contract/gen/aether/v2/feed_pb";
import { MigrationService } from "@aether/contract/gen/aether/v2/migration_pb";
import { NodeService } from "@aether/contract/gen/aether/v2/node_pb";
import { DownloadDiagnosticsRequestSchema, OpsService } from "@aether/contract/gen/aether/v2/ops_pb";
import { type Assessment, RiskService } from "@aether/contract/gen/aether/v2/risk_pb";
import { AuditService, SignalKind, SignalService } from "@aether/contract/gen/aether/v2/signal_pb";
import { SnapshotService, SnapshotState } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { WorkloadService } from "@aether/contract/gen/aether/v2/workload_pb";
import { create, fromBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { z } from "zod";
import { parse, type V1Answer, type V1Call, type V1Route } from "./call.ts";

const byStream = "AgentService.Session: gRPC over mutual TLS, after AgentService.Register with a join token";

export const v1Routes: readonly V1Route[] = [
  { verb: "POST", path: "/agent/register", replacedBy: "POST /api/v2/agent/heartbeat with a hello", serve: register },
  { verb: "POST", path: "/agent/heartbeat", replacedBy: "POST /api/v2/agent/heartbeat", serve: beat },
  { verb: "GET", path: "/agent/poll", replacedBy: "GET /api/v2/agent/poll", serve: poll },
  { verb: "POST", path: "/agent/feedback", replacedBy: "POST /api/v2/agent/feedback", serve: feedback },
  { verb: "POST", path: "/ingestion", replacedBy: "POST /api/v2/signals; telemetry: POST /api/v2/ingestion", serve: ingest },
  { verb: "GET", path: "/dashboard/latest", replacedBy: "GET /api/v2/nodes, GET /api/v2/risk", serve: latest },
  { verb: "GET", path: "/dashboard/history", replacedBy: "GET /api/v2/risk/history", serve: history },
  {
    verb: "POST",
    path: "/market/signal",
    replacedBy: "POST /api/v2/signals:market with a pool, or POST /api/v2/signals with a node",
    serve: market,
  },
  {
    verb: "POST",
    path: "/artifacts/upload/{workloadId}",
    replacedBy: "POST /api/v2/artifacts/{workload}",
    upload: {
      method: ArtifactService.method.uploadArtifact,
      first: (params) => ({ workload: params.workloadId ?? "", sha256Follows: true }),
      last: (sha256) => ({ sha256 }),
      answer: ({ snapshot, receivedBytes }) => ({
        status: 200,
        body: {
          status: "stored",
          workloadId: snapshot?.spec?.name ?? null,
          snapshotId: snapshot?.id ?? null,
          bytes: Number(receivedBytes),
        },
      }),
    },
  },
  {
    verb: "GET",
    path: "/artifacts/download/{workloadId}",
    replacedBy: "GET /api/v2/artifacts/{workload}/{snapshot}",
    download: newestArtifact,
  },
  {
    verb: "POST",
    path: "/commands/queue",
    replacedBy: "POST /api/v2/workloads/{workload}:migrate, :stop, POST /api/v2/snapshots",
    serve: queue,
  },
  { verb: "GET", path: "/audits", replacedBy: "GET /api/v2/audit", serve: audits },
  { verb: "GET", path: "/signals", replacedBy: "GET /api/v2/signals", serve: signals },
  { verb: "GET", path: "/signals/feeds", replacedBy: "GET /api/v2/signals/feeds", serve: feeds },
  {
    verb: "GET",
    path: "/diagnostics/bundle",
    replacedBy: "GET /api/v2/diagnostics/bundle",
    download: async ({ input }) => ({
      method: OpsService.method.downloadDiagnostics,
      message: create(DownloadDiagnosticsRequestSchema, parse(bundle, input)),
    }),
  },
];

/** The token names the node; an agentId that says otherwise is refused by what it would do. */
const agentId = z.string().min(1).max(63);

const registration = z.looseObject({ agentId, hostname: z.string().max(255).default("") });

/** Begins the agent's session. */
async function register({ input, rpc }: V1Call): Promise<V1Answer> {
  const { agentId: id, hostname } = parse(registration, input);
  const { message } = await rpc(AgentService.method.heartbeat, { hello: { facts: { hostname: hostname || id } } });
  return {
    status: 200,
    body: {
      agentId: id,
      status: "registered",
      sessionId: message.sessionId,
      heartbeatIntervalMs: message.config?.heartbeatIntervalMs ?? null,
    },
  };
}

async function beat({ input, rpc }: V1Call): Promise<V1Answer> {
  parse(z.looseObject({ agentId }), input);
  const { message } = await rpc(AgentService.method.heartbeat, { heartbeat: {} });
  return { status: 200, body: { status: message.needsHello ? "unregistered" : "ok" } };
}

const polling = z.strictObject({
  agentId: agentId.optional(),
  after: z
    .string()
    .regex(/^\d{1,18}$/)
    .default("0"),
  waitSeconds: z.coerce.number().int().min(0).max(25).default(0),
});

/** Commands with the bytes that core has signed; an agent that cannot check them must not carry them out. */
async function poll({ input, rpc }: V1Call): Promise<V1Answer> {
  const { after, waitSeconds } = parse(polling, input);
  const { message } = await rpc(AgentService.method.pollCommands, { after: BigInt(after), waitSeconds });
  if (message.needsHello) return { status: 200, body: { status: "unregistered", commands: [], after } };
  const commands = message.messages.flatMap(({ message: each }) => {
    if (each?.message.case !== "signedCommand") return [];
    const { content, signature, certificate } = each.message.value;
    const command = fromBinary(CommandSchema, content);
    const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
    return {
      commandId: command.id,
      workloadId: command.workload,
      action: command.action.case ?? "",
      content: text(content),
      signature: text(signature),
      certificate: text(certificate),
    };
  });
  return { status: 200, body: { status: "ok", commands, after: String(message.messages.at(-1)?.sequence ?? after) } };
}

const report = z.strictObject({
  agentId: agentId.optional(),
  commandId: z.string().min(1).max(100),
  status: z.enum(["COMPLETED", "FAILED", "REFUSED"]),
  error: z.string().max(2000).default(""),
});

async function feedback({ input, rpc }: V1Call): Promise<V1Answer> {
  const { commandId, status, error } = parse(report, input);
  const outcome = { COMPLETED: CommandOutcome.OK, FAILED: CommandOutcome.FAILED, REFUSED: CommandOutcome.REFUSED }[status];
  const result = { commandId, outcome, ...(error === "" ? {} : { error: { code: "INTERNAL", message: error } }) };
  const { message } = await rpc(AgentService.method.sendFeedback, { messages: [{ message: { case: "result", value: result } }] });
  return { status: 202, body: { status: message.needsHello ? "unregistered" : "recorded" } };
}

const unixSeconds = z.int().min(0).max(253_402_300_799);
const flag = z.enum(["true", "false"]).transform((text) => text === "true");
const bytes = z
  .string()
  .regex(/^\d{1,18}$/)
  .transform((text) => BigInt(text));
const bundle = z.strictObject({
  includeSnapshots: flag.default(false),
  maxSnapshots: z.coerce.number().int().min(0).max(20).default(0),
  maxSnapshotBytes: bytes.default(0n),
  maxTotalSnapshotBytes: bytes.default(0n),
});
const nothing = z.strictObject({});

const ingestion = z.strictObject({
  agentId: z.string().min(1).max(63),
  timestamp: unixSeconds,
  workloadTier: z.enum(["T1", "T2", "T3"]),
  rebalanceSignal: z.boolean(),
  diskAvailable: z.number().min(0),
});

async function ingest({ input, rpc }: V1Call): Promise<V1Answer> {
  const { agentId, timestamp, rebalanceSignal } = parse(ingestion, input);
  if (!rebalanceSignal) {
    throw fault("GONE", "telemetry is measured and sent by the node's own agent; of this route only a rebalance signal means something", {
      details: { replacedBy: byStream },
    });
  }
  const { message } = await rpc(SignalService.method.ingestSignal, {
    nodeId: agentId,
    kind: SignalKind.REBALANCE,
    observedAt: timestampFromMs(timestamp * 1000),
    source: "v1-ingestion",
  });
  return { status: 202, body: { status: message.isDuplicate ? "duplicate" : "queued", timestamp } };
}

const marketSignal = z.strictObject({ rebalanceSignal: z.boolean(), timestamp: unixSeconds.optional() });

/** It names no node, so it is about every Spot node: each decides by its own facts. False takes back what this route said before. */
async function market({ input, rpc }: V1Call): Promise<V1Answer> {
  const { rebalanceSignal, timestamp } = parse(marketSignal, input);
  const { message } = await rpc(SignalService.method.ingestMarketSignal, {
    kind: rebalanceSignal ? SignalKind.REBALANCE : SignalKind.WITHDRAWN,
    ...(timestamp === undefined ? {} : { observedAt: timestampFromMs(timestamp * 1000) }),
    source: "v1-market",
  });
  const status = message.newCount > 0 ? "queued" : message.nodeIds.length > 0 ? "duplicate" : "nothing to tell";
  return { status: 202, body: { status, timestamp: timestamp ?? null, nodes: message.nodeIds.length } };
}

/** "Latest" is the newest snapshot that is whole; the file's name says which one that was. */
async function newestArtifact({ params, rpc }: V1Call) {
  const workload = params.workloadId ?? "";
  let pageToken = "";
  do {
    const { message } = await rpc(SnapshotService.method.listSnapshots, { workload, page: { pageSize: 100, pageToken } });
    const whole = message.snapshots.find(({ state }) => state === SnapshotState.READY);
    if (whole !== undefined)
      return {
        method: ArtifactService.method.downloadArtifact,
        message: create(DownloadArtifactRequestSchema, { workload, snapshot: whole.id }),
      };
    pageToken = message.nextPageToken;
  } while (pageToken !== "");
  throw fault("SNAPSHOT_NOT_FOUND", `${workload} has no snapshot that is ready`, { field: "workloadId" });
}

/** The most endangered node, with what is known of it. */
async function latest({ input, rpc }: V1Call): Promise<V1Answer> {
  parse(nothing, input);
  const { message } = await rpc(RiskService.method.listAssessments, { kind: "node", page: { pageSize: 1 } });
  const [assessment] = message.assessments;
  if (assessment === undefined) return { status: 200, body: { telemetry: null, analysis: null } };
  const id = assessment.subject.replace(/^node\//, "");
  const { node } = (await rpc(NodeService.method.getNode, { id })).message;
  const telemetry = {
    agentId: id,
    timestamp: seconds(node?.seenAt),
    workloadTier: null,
    rebalanceSignal: isRebalance(assessment),
    diskAvailable: null,
    cpuFraction: node?.usage?.cpuFraction ?? null,
    memoryUsedBytes: node?.usage === undefined ? null : Number(node.usage.memoryUsedBytes),
  };
  return { status: 200, body: { telemetry, analysis: analysisOf(assessment) } };
}

async function history({ input, rpc }: V1Call): Promise<V1Answer> {
  parse(nothing, input);
  const { message } = await rpc(RiskService.method.listAssessments, { kind: "node", page: { pageSize: 1 } });
  const subject = message.assessments[0]?.subject;
  if (subject === undefined) return { status: 200, body: [] };
  const earlier = (await rpc(RiskService.method.listRiskHistory, { subject, page: { pageSize: 20 } })).message.assessments;
  return { status: 200, body: earlier.toReversed().map((each) => ({ telemetry: null, analysis: analysisOf(each) })) };
}

const isRebalance = ({ contributions }: Assessment) => contributions.some(({ name }) => name === "rebalance");

/** In v1's words. predictedCpu, alpha and decisionScore belonged to a score that is not made any more. */
function analysisOf(assessment: Assessment) {
  const explained = assessment.horizons.find(({ horizonSeconds }) => horizonSeconds === assessment.explainedHorizonSeconds);
  const [first] = assessment.contributions;
  return {
    status: (explained?.probability ?? 0) >= 0.5 || isRebalance(assessment) ? "CRITICAL" : "LOW",
    confidence: explained === undefined ? null : 1 - (explained.high - explained.low),
    predictedCpu: null,
    rootCause: first?.words ?? "",
    alpha: null,
    preemptProbability: explained?.probability ?? null,
    decisionScore: null,
    rationale: assessment.contributions.map(({ words }) => words).join("; "),
    topSignals: assessment.contributions.slice(0, 5).map(({ name, points }) => ({ name, points })),
  };
}

const command = z.strictObject({
  workloadId: z.string().min(1).max(63),
  action: z.enum(["MIGRATE", "CHECKPOINT", "STOP"]),
  params: z.strictObject({ targetNodeId: z.string().max(63).optional(), graceSeconds: z.int().min(0).max(3600).optional() }).default({}),
});

/** Nonce and signature are made when a command goes to its agent, over all of its content; they are no business of who asks for it. */
async function queue({ input, rpc }: V1Call): Promise<V1Answer> {
  const { workloadId: workload, action, params } = parse(command, input);
  const queued = (commandId: string | null, expiresAt: Timestamp | undefined = undefined): V1Answer => ({
    status: 202,
    body: {
      status: "queued",
      commandId,
      nonce: null,
      signature: null,
      expiresAt: expiresAt === undefined ? null : timestampDate(expiresAt).toISOString(),
    },
  });
  if (action === "MIGRATE") {
    const { migration } = (await rpc(MigrationService.method.startMigration, { workload, targetNodeId: params.targetNodeId ?? "" }))
      .message;
    return queued(migration?.id ?? null, migration?.deadlineAt);
  }
  if (action === "CHECKPOINT") return queued((await rpc(SnapshotService.method.createSnapshot, { workload })).message.snapshot?.id ?? null);
  await rpc(WorkloadService.method.stopWorkload, { name: workload, graceSeconds: params.graceSeconds ?? 0 });
  return queued(null);
}

async function audits({ input, rpc }: V1Call): Promise<V1Answer> {
  parse(nothing, input);
  const { entries } = (await rpc(AuditService.method.listAudit, {})).message;
  const body = entries.map(({ sequence, at, actor, action, subject, outcome, dataJson, traceId }) => {
    const details: unknown = JSON.parse(dataJson);
    return { id: Number(sequence), timestamp: seconds(at), actor, action, resource: subject, result: outcome, details, traceId };
  });
  return { status: 200, body };
}

async function signals({ input, rpc }: V1Call): Promise<V1Answer> {
  parse(nothing, input);
  const found = (await rpc(SignalService.method.listSignals, {})).message.signals;
  const body = found.map(({ id, kind, nodeId, receivedAt, effectiveAt, source }) => ({
    id,
    type: SignalKind[kind],
    agentId: nodeId,
    timestamp: seconds(receivedAt),
    effectiveAt: seconds(effectiveAt),
    source,
  }));
  return { status: 200, body };
}

async function feeds({ input, rpc }: V1Call): Promise<V1Answer> {
  parse(nothing, input);
  const { message } = await rpc(FeedService.method.listFeeds, {});
  return { status: 200, body: message.feeds.map(({ name, url, state, error }) => ({ name, url, state, error })) };
}

const seconds = (at: Timestamp | undefined): number | null => (at === undefined ? null : Number(at.seconds));
