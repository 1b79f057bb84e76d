// Who calls. Set once by the access interceptor; a handler reads it with `callerOf(context)`.
import type { Role } from "@aether/contract";
import { createContextKey, type HandlerContext } from "@connectrpc/connect";

export interface Caller {
  /** For the audit: "account/NAME", "token/NAME", "node/ID", "anonymous", "core". */
  readonly actor: string;
  readonly role: Role;
  /** Set for agents: the node of the certificate. */
  readonly nodeId: string | undefined;
  /** Set for people who are signed in. */
  readonly session?: { readonly id: string; readonly account: string };
  /** Set for a bearer of a token. */
  readonly tokenId?: string;
  /** Set where it is not the caller who calls now, but something that acts for him: runbook-run/ID/STEP. On what is made, and on the audit. */
  readonly cause?: string;
  /** Is the credential good still? Asked before each message of a long answer, so that what was revoked stops hearing. */
  readonly isStillValid?: () => Promise<boolean>;
  readonly sourceAddress: string;
  /** W3C trace id (32 hex digits) of the request; goes into events, audit, signals, migrations and commands. */
  readonly traceId: string;
  /** To be put into commands, so that the agent's spans join the trace. */
  readonly traceparent: string;
}

export const callerKey = createContextKey<Caller | undefined>(undefined, { description: "caller" });

/**
 * The answer's own headers and trailers, which the protocol has begun to fill: an interceptor that answers without the handler must
 * answer with these very objects, or the content type is gone.
 */
export const answerKey = createContextKey<Pick<HandlerContext, "responseHeader" | "responseTrailer"> | undefined>(undefined, {
  description: "answer",
});

/** The caller of this request. Throws only where a handler was reached without the interceptor, which is a mistake in core.ts. */
export function callerOf(context: Pick<HandlerContext, "values">): Caller {
  const caller = context.values.get(callerKey);
  if (caller === undefined) throw new Error("handler reached without the access interceptor");
  return caller;
}
