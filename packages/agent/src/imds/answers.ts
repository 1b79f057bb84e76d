// What the instance metadata service may answer, parsed once. The answers are hostile input like any other: sizes are limited by
// the client, words and dates here. A date is checked for being one, never against this machine's clock: a node whose clock is wrong
// must still hear that it is about to end.
import { fault } from "@aether/contract";
import { z } from "zod";

/** The two-minute notice (`spot/instance-action`). */
export interface InstanceAction {
  /** terminate | stop | hibernate, or a newer word of the same shape. */
  readonly action: string;
  /** When it happens, ms since the epoch. */
  readonly effectiveAtMs: number;
}

/** `events/recommendations/rebalance`: elevated risk, no date of an end. */
export interface RebalanceRecommendation {
  readonly noticedAtMs: number;
}

const timestamp = z
  .string()
  .regex(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/)
  .transform((text, context) => {
    const ms = Date.parse(text);
    if (Number.isFinite(ms)) return ms;
    context.addIssue({ code: "custom", message: "not a date" });
    return z.NEVER;
  });

const instanceAction = z.object({ action: z.string().regex(/^[a-z][a-z-]{0,31}$/), time: timestamp });
const rebalance = z.object({ noticeTime: timestamp });
const word = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);

/** Parses `{"action":"terminate","time":"2026-01-01T00:00:00Z"}`. Throws UNAVAILABLE: the service did not answer in its language. */
export function parseInstanceAction(text: string): InstanceAction {
  const { action, time } = parse("spot/instance-action", instanceAction, text);
  return { action, effectiveAtMs: time };
}

/** Parses `{"noticeTime":"2026-01-01T00:00:00Z"}`. Throws UNAVAILABLE. */
export function parseRebalance(text: string): RebalanceRecommendation {
  return { noticedAtMs: parse("events/recommendations/rebalance", rebalance, text).noticeTime };
}

/** Parses a one-word answer (instance-id, instance-type, zone). Throws UNAVAILABLE. */
export function parseWord(what: string, text: string): string {
  const parsed = word.safeParse(text.trim());
  if (parsed.success) return parsed.data;
  throw fault("UNAVAILABLE", `the metadata service's ${what} is not a word: ${JSON.stringify(text.slice(0, 80))}`);
}

function parse<Schema extends z.ZodType>(what: string, schema: Schema, text: string): z.infer<Schema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw fault("UNAVAILABLE", `the metadata service's ${what} is not JSON: ${JSON.stringify(text.slice(0, 80))}`, { cause });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw fault(
    "UNAVAILABLE",
    `the metadata service's ${what} is not valid: ${issue?.path.join(".") || "answer"}: ${issue?.message ?? "unknown"}`,
  );
}
