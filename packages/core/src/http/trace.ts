// W3C Trace Context: the trace of the caller goes on here, or a new one begins.
import { randomBytes } from "node:crypto";

export interface Trace {
  /** 32 hex digits. */
  readonly traceId: string;
  /** This request's own span, as the parent of whatever it causes. */
  readonly traceparent: string;
}

const pattern = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Continues `traceparent` if it is valid (https://www.w3.org/TR/trace-context/, 3.2), else begins a sampled trace. */
export function continueTrace(traceparent: string | null | undefined): Trace {
  const match = pattern.exec(traceparent ?? "");
  const given = match && !traceparent?.startsWith("ff") && !/^0+$/.test(match[1] ?? "") && !/^0+$/.test(match[2] ?? "");
  const traceId = given ? (match[1] ?? "") : randomBytes(16).toString("hex");
  const flags = given ? (match[3] ?? "01") : "01";
  return { traceId, traceparent: `00-${traceId}-${randomBytes(8).toString("hex")}-${flags}` };
}
