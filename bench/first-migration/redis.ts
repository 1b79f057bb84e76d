// The one redis that everybody moves: the same arguments, the same keys.
export const redisArgv: readonly string[] = [
  "redis-server",
  "--bind",
  "0.0.0.0",
  "--protected-mode",
  "no",
  "--save",
  "",
  "--appendonly",
  "no",
];

/** Keys of a thousand bytes that take so much memory in all, with what redis keeps beside each. */
export const keysOf = (memoryMb: number): number => Math.max(1, Math.round((memoryMb * 1e6) / 1100));

/** redis-cli's arguments that fill it. */
export function fillArgv(address: string, memoryMb: number): string[] {
  const script = "for i=1,tonumber(ARGV[1]) do redis.call('set','k'..i,string.rep('x',1000)..i) end return redis.call('dbsize')";
  return ["-h", address, "eval", script, "0", String(keysOf(memoryMb))];
}
