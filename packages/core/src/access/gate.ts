// The one door: every request of every protocol passes here before its body is read. Who is it, may it, is it not too often.
// What is refused is on the audit log.
import { type Fault, fault, Role } from "@aether/contract";
import { nodeIdOf } from "@aether/kit/identity";
import type { HandlerContext } from "@connectrpc/connect";
import { actionName } from "../audit/action-name.ts";
import type { Audit } from "../audit/audit.ts";
import { answerKey, type Caller, callerKey } from "../http/caller.ts";
import { faultOf } from "../http/error-body.ts";
import { type Origin, originKey } from "../http/origin.ts";
import { type RateLimit, tooManyFrom } from "./rate-limit.ts";
import { isAllowed, roleName, roleOf, roleOfBearer } from "./roles.ts";
import type { Sessions } from "./sessions.ts";
import type { BearerRole, Tokens } from "./tokens.ts";

export interface GateOptions {
  readonly tokens: Pick<Tokens, "authenticate">;
  readonly sessions: Pick<Sessions, "authenticate">;
  readonly audit: Pick<Audit, "record">;
  readonly perToken: RateLimit;
  readonly perAddress: RateLimit;
  /** Entries on the audit log of what is refused to one address. */
  readonly denials: RateLimit;
  /** Is the token of a node taken where it came in the clear? */
  readonly nodeTokensWithoutTls: boolean;
  /** Counts what is refused here, before any handler. */
  readonly count: (method: string, code: string) => void;
}

export type Gate = (context: HandlerContext) => Promise<void>;

/** Throws (as ConnectError) UNAUTHENTICATED, PERMISSION_DENIED, RATE_LIMITED, IDENTITY_REJECTED; else the caller is known. */
export function createGate(options: GateOptions): Gate {
  return async (context) => {
    const origin = context.values.get(originKey);
    if (origin === undefined) throw new Error("request without an origin");
    context.values.set(answerKey, context);
    context.responseHeader.set("traceparent", origin.trace.traceparent);
    context.responseHeader.set("x-request-id", origin.requestId);
    try {
      context.values.set(callerKey, await admit(options, context, origin));
    } catch (caught) {
      const problem = faultOf(caught);
      options.count(`${context.service.typeName}/${context.method.name}`, problem.code);
      throw problem.toConnectError(origin.trace.traceId);
    }
  };
}

async function admit(
  { tokens, sessions, audit, perToken, perAddress, denials, nodeTokensWithoutTls }: GateOptions,
  context: HandlerContext,
  origin: Origin,
): Promise<Caller> {
  refuseIfTooMany(perAddress.take(origin.sourceAddress), `the address ${origin.sourceAddress}`);
  const required = roleOf(context.method);
  const isRenewal = context.method.name === "RenewIdentity";
  const deny = async (problem: Fault, actor: string) => {
    // Who knocks a thousand times must not fill the disk: each address has so many entries, and the counts are in the metrics.
    if (denials.take(origin.sourceAddress) > 0) return problem;
    await audit.record({
      actor,
      sourceAddress: origin.sourceAddress,
      action: "access.denied",
      subject: actionName(context.method),
      outcome: "denied",
      data: { code: problem.code },
      traceId: origin.trace.traceId,
    });
    return problem;
  };

  const common = { sourceAddress: origin.sourceAddress, traceId: origin.trace.traceId, traceparent: origin.trace.traceparent };
  let caller: Caller = { ...common, actor: "anonymous", role: Role.NONE, nodeId: undefined };
  const spiffeId = origin.peerSpiffeId({ isRenewal });
  const nodeId = spiffeId === undefined ? undefined : nodeIdOf(spiffeId);
  const secret = /^Bearer ([\x21-\x7e]{1,200})$/i.exec(context.requestHeader.get("authorization") ?? "")?.[1];
  if (nodeId !== undefined) caller = { ...common, actor: `node/${nodeId}`, role: Role.AGENT, nodeId };
  else if (secret !== undefined) {
    const bearer = await tokens.authenticate(secret);
    if (bearer === undefined) throw await deny(fault("UNAUTHENTICATED", "the token is unknown, revoked or expired"), "anonymous");
    refuseIfTooMany(perToken.take(bearer.id), `the token ${bearer.name}`);
    if (bearer.role === "agent" && !origin.isPrivate && !nodeTokensWithoutTls)
      throw await deny(
        fault("PERMISSION_DENIED", `the token of the node ${bearer.nodeId} came from ${origin.sourceAddress} without TLS`, {
          hint: "Revoke it: it could be read on its way. Send the next one over TLS: the agents' port, or a proxy on the control plane's machine; or set access.nodeTokensWithoutTls where the network is private.",
        }),
        `node/${bearer.nodeId}`,
      );
    const isStillValid = async () => mayStill(required, await tokens.authenticate(secret));
    caller =
      bearer.role === "agent"
        ? { ...common, actor: `node/${bearer.nodeId}`, role: Role.AGENT, nodeId: bearer.nodeId, isStillValid }
        : {
            ...common,
            actor: `token/${bearer.name}`,
            role: roleOfBearer[bearer.role],
            nodeId: undefined,
            tokenId: bearer.id,
            isStillValid,
          };
  } else if (origin.browser.sessionSecret !== undefined && required !== Role.NONE) {
    // A session that has ended is no attack: the page asks for a new sign-in, and the audit log is not filled with it.
    const cookie = origin.browser.sessionSecret;
    const holder = await sessions.authenticate(cookie);
    if (holder === undefined) throw fault("UNAUTHENTICATED", "the session has ended", { hint: "Sign in again." });
    if (!origin.browser.isSameOrigin) throw await deny(fault("CROSS_SITE"), `account/${holder.account}`);
    refuseIfTooMany(perToken.take(holder.sessionId), `the session of ${holder.account}`);
    const isStillValid = async () => mayStill(required, await sessions.authenticate(cookie));
    const session = { id: holder.sessionId, account: holder.account };
    caller = { ...common, actor: `account/${holder.account}`, role: roleOfBearer[holder.role], nodeId: undefined, session, isStillValid };
  }
  if (isAllowed(required, caller.role)) return caller;
  if (caller.role === Role.NONE) throw await deny(fault("UNAUTHENTICATED"), "anonymous");
  const message = `${actionName(context.method)} needs the role ${roleName(required)}; this credential has ${roleName(caller.role)}`;
  throw await deny(fault("PERMISSION_DENIED", message), caller.actor);
}

const mayStill = (required: Role, holder: { readonly role: BearerRole | "agent" } | undefined): boolean =>
  holder !== undefined && isAllowed(required, holder.role === "agent" ? Role.AGENT : roleOfBearer[holder.role]);

function refuseIfTooMany(waitSeconds: number, whom: string): void {
  if (waitSeconds > 0) throw tooManyFrom(waitSeconds, whom);
}
