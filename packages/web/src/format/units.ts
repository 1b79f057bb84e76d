// Numbers with their units, times with their zone. Pure, so that what an operator reads is tested.

const binary = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** "0 B", "812 KiB", "1.5 GiB": three significant digits, binary units. */
export function bytes(count: number | bigint): string {
  let value = Number(count);
  let i = 0;
  while (value >= 1024 && i < binary.length - 1) {
    value /= 1024;
    i++;
  }
  return `${i === 0 || value >= 100 ? Math.round(value) : Number(value.toFixed(value >= 10 ? 1 : 2))} ${binary[i]}`;
}

/** "0.8 ms", "43 ms", "1.25 s", "2 min 5 s", "3 h 20 min", "4 d 2 h". */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "unknown";
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms === 0) return "0 ms";
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${Number((ms / 1000).toFixed(2))} s`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(1))} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return pair(Math.floor(seconds / 60), "min", seconds % 60, "s");
  if (seconds < 86_400) return pair(Math.floor(seconds / 3600), "h", Math.floor((seconds % 3600) / 60), "min");
  return pair(Math.floor(seconds / 86_400), "d", Math.floor((seconds % 86_400) / 3600), "h");
}

const pair = (much: number, unit: string, rest: number, small: string) =>
  rest === 0 ? `${much} ${unit}` : `${much} ${unit} ${rest} ${small}`;

/** Hours that something ran, as they are paid for: "12 min", "3.5 h", "1,234 h". */
export const hours = (value: number): string =>
  value > 0 && value < 1 ? `${Math.max(1, Math.round(value * 60))} min` : value === 0 ? "0 min" : `${count(Math.round(value * 10) / 10)} h`;

/** "3 %", "0.4 %", "<0.1 %". */
export function percent(fraction: number): string {
  const value = fraction * 100;
  if (value === 0) return "0 %";
  if (value < 0.1) return "<0.1 %";
  return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)} %`;
}

/** 12345 is "12,345". */
export const count = (value: number | bigint): string => Number(value).toLocaleString("en");

/** "1 node", "2 nodes", "0 nodes". */
export const plural = (value: number, noun: string, many = `${noun}s`): string => `${count(value)} ${value === 1 ? noun : many}`;

/** How long ago, coarse: "now", "12 s ago", "5 min ago", "3 h ago", "2 d ago"; "in 90 s" for what is to come. */
export function ago(atMs: number, nowMs: number): string {
  const seconds = Math.round((nowMs - atMs) / 1000);
  if (seconds < 0) return `in ${coarse(-seconds)}`;
  return seconds < 2 ? "now" : `${coarse(seconds)} ago`;
}

function coarse(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** An enumeration's name for people: ROLLED_BACK is "rolled back". */
export const words = (name: string | undefined): string => (name ?? "unknown").replaceAll("_", " ").toLowerCase();
