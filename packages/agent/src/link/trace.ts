// One W3C trace begins here: with the poll that saw an interruption. https://www.w3.org/TR/trace-context/#traceparent-header
import { randomBytes } from "node:crypto";

/** A new sampled trace with its first span. */
export function newTraceparent(): string {
  return `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-01`;
}
