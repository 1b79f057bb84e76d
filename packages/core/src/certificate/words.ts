// Numbers of a certificate in words.

/** For people: 340 ms, 2.1 s, 75 s. */
export function seconds(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 20_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

export const mebibytes = (bytes: number): string => {
  const value = bytes / 1_048_576;
  return `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)} MiB`;
};

/** For people: 12 s ago, 5 min ago, 3 h ago, 2 d ago. */
export function agoOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h ago` : `${Math.round(seconds / 86_400)} d ago`;
}
