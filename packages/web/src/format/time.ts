// Times are told in the viewer's zone, and in UTC where one points at them.
import type { Timestamp } from "@bufbuild/protobuf/wkt";

/** Milliseconds since 1970, fractions kept; undefined for a time that is not set. */
export function msOf(timestamp: Timestamp | undefined): number | undefined {
  return timestamp === undefined ? undefined : Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;
}

/** "14:03:09", with the day before it when it is not today's. */
export function clockTime(ms: number, nowMs: number): string {
  const [at, now] = [new Date(ms), new Date(nowMs)];
  const time = at.toLocaleTimeString("en-GB", { hour12: false });
  if (at.toDateString() === now.toDateString()) return time;
  const year = at.getFullYear() === now.getFullYear() ? {} : { year: "numeric" as const };
  return `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short", ...year })} ${time}`;
}

/** "2026-11-26 14:03:09.120 UTC" */
export const utcTime = (ms: number): string => new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC");
