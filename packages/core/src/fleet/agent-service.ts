// AgentService: registration with a join token, renewal of the identity, the session.

import { fault, parseNodeId } from "@aether/contract";
import { type AgentConfig, AgentService, type RegisterRequest } from "@aether/contract/gen/aether/v2/agent_pb";
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import type { TelemetryReport } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { type Authority, type IssuedCertificate, nodeSpiffeId } from "@aether/kit/identity";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Tokens } from "../access/tokens.ts";
import type { Audit } from "../audit/audit.ts";
import type { Db } from "../db/database.ts";
import { toColumn } from "../db/proto.ts";
import type { Events } from "../events/events.ts";
import { type Caller, callerOf } from "../http/caller.ts";
import type { Gateway } from "./gateway.ts";
import { createPolledSessions } from "./polled-sessions.ts";

export interface AgentServiceOptions {
  readonly db: Db;
  readonly events: Events;
  readonly audit: Audit;
  readonly tokens: Pick<Tokens, "consumeJoin">;
  readonly authority: Authority;
  readonly identityTtlMs: number;
  readonly gateway: Gateway;
  readonly agentConfig: AgentConfig;
  readonly telemetry: { take(nodeId: string, reports: readonly TelemetryReport[]): void };
}

export function agentRoutes(options: AgentServiceOptions): (router: ConnectRouter) => void {
  const { db, authority, gateway, agentConfig } = options;
  const issue = (csrPem: string, nodeId: string) => {
    if (csrPem.length > 10_000) throw fault("INVALID_ARGUMENT", "csr_pem is longer than a certificate request", { field: "csr_pem" });
    return authority.issue(csrPem, nodeSpiffeId(authority.trustDomain, nodeId), options.identityTtlMs);
  };
  const polled = createPolledSessions(gateway, (nodeId) => ensureNode(options, nodeId));
  return (router) =>
    router.service(AgentService, {
      async register(request, context) {
        const nodeId = parseNodeId(request.nodeId, "node_id");
        const issued = await register(options, request, nodeId, callerOf(context), () => issue(request.csrPem, nodeId));
        return { nodeId, identity: identityOf(authority, nodeId, issued), config: agentConfig };
      },
      async renewIdentity(request, context) {
        const caller = callerOf(context);
        const nodeId = requireNodeId(caller);
        // A token can be revoked; a certificate got with it could not.
        if (caller.isStillValid !== undefined)
          throw fault("IDENTITY_REJECTED", "a certificate is renewed with the one before, not with a token");
        const row = await db.selectFrom("nodes").select("id").where("id", "=", nodeId).executeTakeFirst();
        if (row === undefined) throw fault("IDENTITY_REJECTED", `${nodeId} is not registered any more; join again with a new token`);
        return { identity: identityOf(authority, nodeId, await issue(request.csrPem, nodeId)) };
      },
      async heartbeat(request, context) {
        const answer = await polled.heartbeat(requireNodeId(callerOf(context)), request);
        return request.hello === undefined ? answer : { ...answer, config: agentConfig };
      },
      pollCommands: (request, context) => polled.poll(requireNodeId(callerOf(context)), request, context.signal),
      sendFeedback: (request, context) => polled.feedback(requireNodeId(callerOf(context)), request),
      ingestTelemetry({ report }, context) {
        if (report === undefined) throw fault("INVALID_ARGUMENT", "report is missing", { field: "report" });
        options.telemetry.take(requireNodeId(callerOf(context)), [report]);
        return {};
      },
      session: (requests, context) => gateway.serve(requireNodeId(callerOf(context)), requests, context.signal),
    });
}

/** Token, node and certificate in one transaction: either all of it happened, or the token still works. */
async function register(
  { db, events, audit, tokens, gateway }: AgentServiceOptions,
  request: RegisterRequest,
  nodeId: string,
  caller: Caller,
  issue: () => Promise<IssuedCertificate>,
): Promise<IssuedCertificate> {
  const entry = { actor: `node/${nodeId}`, sourceAddress: caller.sourceAddress, action: "node.register", subject: `node/${nodeId}` };
  try {
    return await db.transaction().execute(async (tx) => {
      await tokens.consumeJoin(tx, request.joinToken, nodeId);
      const existing = await tx.selectFrom("nodes").select("id").where("id", "=", nodeId).executeTakeFirst();
      // A node whose certificate has run out joins again under its name; one that is connected keeps it.
      if (existing !== undefined && gateway.isConnected(nodeId)) {
        throw fault("NODE_NAME_TAKEN", `a node ${nodeId} is registered and connected`, { field: "node_id" });
      }
      const facts = toColumn(NodeFactsSchema, request.facts ?? create(NodeFactsSchema));
      await tx
        .insertInto("nodes")
        .values({ id: nodeId, facts })
        .onConflict((conflict) => conflict.column("id").doUpdateSet({ facts }))
        .execute();
      const issued = await issue();
      await events.append(tx, {
        type: "node.registered",
        subject: `node/${nodeId}`,
        message: existing === undefined ? `${nodeId} has joined` : `${nodeId} has joined again`,
        traceId: caller.traceId,
      });
      await audit.record({ ...entry, outcome: "ok", data: { serial: issued.serialNumber }, traceId: caller.traceId }, tx);
      return issued;
    });
  } catch (caught) {
    await audit.record({ ...entry, outcome: "denied", traceId: caller.traceId });
    throw caught;
  }
}

/** A node that speaks by a token has never registered: its first hello puts it on record. */
async function ensureNode({ db, events }: AgentServiceOptions, nodeId: string): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const made = await tx
      .insertInto("nodes")
      .values({ id: nodeId, facts: toColumn(NodeFactsSchema, create(NodeFactsSchema)) })
      .onConflict((conflict) => conflict.column("id").doNothing())
      .returning("id")
      .executeTakeFirst();
    if (made === undefined) return;
    await events.append(tx, { type: "node.registered", subject: `node/${nodeId}`, message: `${nodeId} has joined, by a token of its own` });
  });
}

function requireNodeId({ nodeId }: Caller): string {
  if (nodeId === undefined) throw fault("IDENTITY_REJECTED", "only a node may do this");
  return nodeId;
}

const identityOf = (authority: Authority, nodeId: string, issued: IssuedCertificate) => ({
  spiffeId: nodeSpiffeId(authority.trustDomain, nodeId),
  certificateChainPem: issued.certificateChainPem,
  trustBundlePem: issued.trustBundlePem,
  expiresAt: timestampFromMs(issued.expiresAtMs),
});
