// Where a request comes from, noted when it enters, the same for every protocol; the gate then decides who that is.
import { type ContextValues, createContextKey, createContextValues } from "@connectrpc/connect";
import { type BrowserFacts, browserFacts } from "./browser.ts";
import { continueTrace, type Trace } from "./trace.ts";

export interface Origin {
  readonly sourceAddress: string;
  readonly trace: Trace;
  /** As given, or the trace id. Echoed. */
  readonly requestId: string;
  /** Nobody on the way can read it: TLS, or this machine's own loopback, behind a proxy only where that says that it was asked over TLS. */
  readonly isPrivate: boolean;
  readonly browser: BrowserFacts;
  /**
   * The peer's SPIFFE ID on the agents' port. Undefined without a certificate, and on the people's port. Throws IDENTITY_REJECTED for a
   * certificate that is not valid; `renewing`: one that is only expired, within the grace, is taken for a renewal.
   */
  peerSpiffeId(options: { readonly isRenewal: boolean }): string | undefined;
}

export const originKey = createContextKey<Origin | undefined>(undefined, { description: "origin" });

interface Incoming {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket: { readonly remoteAddress?: string | undefined; readonly encrypted?: boolean | undefined } | null | undefined;
}

const printable = /^[\x21-\x7e]{1,128}$/;

export function originOf(request: Incoming, peerSpiffeId: Origin["peerSpiffeId"] = () => undefined): Origin {
  const one = (name: string) => {
    const value = request.headers[name];
    return typeof value === "string" ? value : undefined;
  };
  const trace = continueTrace(one("traceparent"));
  const requestId = one("x-request-id");
  const sourceAddress = (request.socket?.remoteAddress ?? "").replace(/^::ffff:/, "");
  return {
    sourceAddress,
    isPrivate: request.socket?.encrypted === true || (isLoopback(sourceAddress) && (one("x-forwarded-proto") ?? "https") === "https"),
    trace,
    requestId: requestId !== undefined && printable.test(requestId) ? requestId : trace.traceId,
    browser: browserFacts(one),
    peerSpiffeId,
  };
}

const isLoopback = (address: string): boolean => address === "::1" || /^127\./.test(address);

export function valuesWith(origin: Origin): ContextValues {
  return createContextValues().set(originKey, origin);
}
