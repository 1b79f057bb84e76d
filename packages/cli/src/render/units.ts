// Numbers as people read them.
import type { Timestamp } from "@bufbuild/protobuf/wkt";

/** 940 µs, 12.3 ms, 1.24 s, 2 min 05 s, 3 h 20 min, 4 d 2 h. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "-";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 100) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_995) return `${(ms / 1000).toFixed(2)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** 0 B, 512 B, 64.0 KiB, 1.2 GiB. */
export function bytes(count: number | bigint): string {
  let value = Number(count);
  if (value < 1024) return `${value} B`;
  let unit = 0;
  for (; value >= 1023.95 && unit < units.length; unit++) value /= 1024;
  return `${value.toFixed(1)} ${units[unit - 1]}`;
}

const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];

export function toDate(at: Timestamp | undefined): Date | undefined {
  return at === undefined ? undefined : new Date(Number(at.seconds) * 1000 + at.nanos / 1_000_000);
}

/** "12 s ago", rounded down to its largest unit. */
export function ago(at: Timestamp | undefined, nowMs: number): string {
  const date = toDate(at);
  if (date === undefined) return "-";
  const seconds = Math.max(0, Math.floor((nowMs - date.getTime()) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** 2026-01-31 08:22:00.123Z */
export function instant(at: Timestamp | undefined): string {
  return toDate(at)?.toISOString().replace("T", " ") ?? "-";
}

/** The last word or words of a contract enumeration: MIGRATION_STATE_ROLLED_BACK is "rolled back". */
export function word(values: Readonly<Record<number, string>>, value: number): string {
  return (values[value] ?? "unknown").toLowerCase().replaceAll("_", " ");
}

const two = (number: number) => String(number).padStart(2, "0");
