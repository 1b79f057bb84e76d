// What a client saw, gathered between two reports: counts, quantiles, gaps, and for the graph the worst latency of each slice of time.
// While a request waits, each slice that passes shows how long it has waited so far: a freeze is a ramp, not a hole.

export interface Gap {
  readonly atMs: number;
  readonly durationMs: number;
}

export interface Report {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly requestCount: number;
  readonly errorCount: number;
  readonly wrongCount: number;
  readonly reconnectCount: number;
  readonly latencyP50Ms: number;
  readonly latencyP99Ms: number;
  readonly longestGapMs: number;
  readonly lastError: string;
  readonly gaps: readonly Gap[];
  readonly sliceMs: number;
  readonly worstLatencyMs: readonly number[];
}

export const sliceMs = 100;
export const gapMs = 50;

export interface Observations {
  sent(nowMs: number): void;
  answered(nowMs: number, isRight: boolean): void;
  /** A request or connection failed; `isReconnect` when a connection that stood was lost. */
  failed(message: string, isReconnect: boolean): void;
  /** What was seen since the last call; the request that waits now stays in the books. */
  take(nowMs: number): Report;
}

export function createObservations(startMs: number): Observations {
  let sinceMs = startMs;
  let sentAtMs: number | undefined;
  let waitingFrom: number | undefined; // of the request that waits, also across a reconnect
  let latencies: number[] = [];
  let gaps: Gap[] = [];
  let slices: number[] = [];
  let counts = { requestCount: 0, errorCount: 0, wrongCount: 0, reconnectCount: 0, lastError: "" };

  const sliceAt = (nowMs: number) => Math.max(0, Math.floor((nowMs - sinceMs) / sliceMs));
  const raise = (slice: number, latencyMs: number) => {
    while (slices.length <= slice) slices.push(0);
    slices[slice] = Math.max(slices[slice] ?? 0, latencyMs);
  };
  /** Each slice that ended while a request waited shows the wait at its end. */
  const ramp = (fromMs: number, nowMs: number) => {
    for (let slice = sliceAt(Math.max(fromMs, sinceMs)); slice < sliceAt(nowMs); slice++)
      raise(slice, sinceMs + (slice + 1) * sliceMs - fromMs);
  };

  return {
    sent(nowMs) {
      sentAtMs = nowMs;
      waitingFrom ??= nowMs;
    },
    answered(nowMs, isRight) {
      const fromMs = waitingFrom ?? sentAtMs ?? nowMs;
      const latencyMs = nowMs - fromMs;
      ramp(fromMs, nowMs);
      raise(sliceAt(nowMs), latencyMs);
      latencies.push(latencyMs);
      if (latencyMs > gapMs) gaps.push({ atMs: fromMs, durationMs: latencyMs });
      counts.requestCount++;
      if (!isRight) counts.wrongCount++;
      waitingFrom = undefined;
      sentAtMs = undefined;
    },
    failed(message, isReconnect) {
      counts.errorCount++;
      if (isReconnect) counts.reconnectCount++;
      counts.lastError = message;
    },
    take(nowMs) {
      const waitedMs = waitingFrom === undefined ? 0 : nowMs - waitingFrom;
      if (waitingFrom !== undefined) ramp(waitingFrom, nowMs);
      const sorted = latencies.sort((a, b) => a - b);
      const sliceCount = Math.max(1, Math.round((nowMs - sinceMs) / sliceMs));
      const report: Report = {
        sinceMs,
        untilMs: nowMs,
        ...counts,
        latencyP50Ms: quantile(sorted, 0.5),
        latencyP99Ms: quantile(sorted, 0.99),
        longestGapMs: Math.max(waitedMs > gapMs ? waitedMs : 0, ...gaps.map((gap) => gap.durationMs)),
        gaps,
        sliceMs,
        worstLatencyMs: Array.from({ length: Math.max(sliceCount, slices.length) }, (_, i) => slices[i] ?? 0),
      };
      sinceMs = nowMs;
      latencies = [];
      gaps = [];
      slices = [];
      counts = { requestCount: 0, errorCount: 0, wrongCount: 0, reconnectCount: 0, lastError: "" };
      return report;
    },
  };
}

/** Two reports as one: counts add, quantiles take the worse (an upper bound), slices follow each other. */
export function joinReports(first: Report, second: Report): Report {
  return {
    sinceMs: first.sinceMs,
    untilMs: second.untilMs,
    requestCount: first.requestCount + second.requestCount,
    errorCount: first.errorCount + second.errorCount,
    wrongCount: first.wrongCount + second.wrongCount,
    reconnectCount: first.reconnectCount + second.reconnectCount,
    latencyP50Ms: Math.max(first.latencyP50Ms, second.latencyP50Ms),
    latencyP99Ms: Math.max(first.latencyP99Ms, second.latencyP99Ms),
    longestGapMs: Math.max(first.longestGapMs, second.longestGapMs),
    lastError: second.lastError || first.lastError,
    gaps: [...first.gaps, ...second.gaps],
    sliceMs: first.sliceMs,
    worstLatencyMs: [...first.worstLatencyMs, ...second.worstLatencyMs],
  };
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
