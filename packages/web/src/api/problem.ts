// What went wrong, for people: the row of the error table that the control plane sent, or that it does not answer.
import { Code, ConnectError } from "@connectrpc/connect";

export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly field?: string;
  readonly isSignedOut: boolean;
  /** The control plane was not reached at all. */
  readonly isAway: boolean;
  /** Only for what a newer control plane serves. */
  readonly isNotServed: boolean;
}

export function problemOf(caught: unknown): Problem {
  const error = ConnectError.from(caught);
  const isOurs = error.metadata.has("aether-code");
  // A browser's fetch fails with a TypeError, and a proxy before a core that is away answers 502 to 504.
  const isAway = !isOurs && (error.cause instanceof TypeError || error.code === Code.Unavailable || error.code === Code.Unknown);
  if (isAway) {
    const message = "The control plane does not answer.";
    return { code: "UNREACHABLE", message, hint: "", isSignedOut: false, isAway, isNotServed: false };
  }
  // The headers are those that the contract's Fault travels in; the whole error table is not needed to read them.
  const code = error.metadata.get("aether-code") ?? "";
  const field = error.metadata.get("aether-field");
  return {
    code,
    message: error.rawMessage,
    hint: decodeURIComponent(error.metadata.get("aether-hint") ?? ""),
    ...(field === null ? {} : { field: decodeURIComponent(field) }),
    isSignedOut: code === "UNAUTHENTICATED",
    isAway: false,
    isNotServed: error.code === Code.Unimplemented || (error.code === Code.NotFound && !isOurs),
  };
}
