/** Analyses a second on one core. Run: node --conditions=@source bench/risk/analyses.ts */
import { type AnalyzeRequest, analyze, assess, DEFAULT_HAZARD_MODEL, parseAnalyzeRequest } from "@aether/risk";

const bodies = Array.from({ length: 256 }, (_, i) =>
  JSON.stringify({
    spotPriceHistory: Array.from({ length: 60 }, (_, j) => 1 + 0.1 * Math.sin(i + j)),
    rebalanceSignal: i % 17 === 0,
    capacityScore: (i % 10) / 10,
  }),
);
const evidence = bodies.map((_, i) => ({
  readings: { ageHours: i / 7, lossesLastHour: i % 3, lossesLastDay: i % 11, shareLastDay: 1 - (i % 9) / 10, hourOfDay: i % 24 },
  advisorBand: i % 5,
}));

function rate(name: string, seconds: number, once: (i: number) => unknown): void {
  for (let i = 0; i < 5000; i++) once(i);
  const start = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  let n = 0;
  while (Number(process.hrtime.bigint() - start) < seconds * 1e9) for (let i = 0; i < 100; i++) once(n++);
  const used = process.cpuUsage(cpu);
  console.log(`${name}: ${Math.round(n / ((used.user + used.system) / 1e6))} a second of CPU time`);
}

rate("analyze, from JSON text to JSON text", 3, (i) => {
  const parsed = parseAnalyzeRequest(JSON.parse(bodies[i % bodies.length] ?? "{}"));
  return "request" in parsed ? JSON.stringify(analyze(DEFAULT_HAZARD_MODEL, parsed.request as AnalyzeRequest)) : "";
});
rate("assess, a node with all readings", 3, (i) => assess(DEFAULT_HAZARD_MODEL, evidence[i % evidence.length] ?? { readings: {} }));
