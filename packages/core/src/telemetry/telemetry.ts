// Takes what agents measure, and serves it. Samples are gathered for a few seconds and written together, so that the fleet's size hardly matters to
// the database. When the control plane does not keep up agents are asked to measure less often, and that is said; what found no room meanwhile is counted.
import { fault } from "@aether/contract";
import {
  NodeSampleSchema,
  type TelemetryReport,
  TelemetryService,
  WorkloadSampleSchema,
} from "@aether/contract/gen/aether/v2/telemetry_pb";
import { createPause, type Logger } from "@aether/kit";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Db } from "../db/database.ts";
import type { Events } from "../events/events.ts";
import { requireNode } from "../fleet/node-store.ts";
import type { Part } from "../part.ts";
import { requireWorkload } from "../workload/store.ts";
import { thin } from "./average.ts";
import { createGathered } from "./gathered.ts";
import { nextIntervalMs } from "./pace.ts";
import { averageMinutes, batch, cutMinutes, readNodeSamples, readWorkloadSamples, type Written, writeSamples } from "./store.ts";

export interface TelemetryOptions {
  readonly db: Db;
  readonly events: Pick<Events, "append">;
  readonly log: Logger;
  readonly nowMs: () => number;
  /** Samples as they came are kept for `fineMinutes`, their one-minute averages for `days`. Asked at each cut. */
  readonly keep: () => { readonly fineMinutes: number; readonly days: number };
  /** Called when what was gathered is written. */
  readonly onWritten?: () => void;
  /** How often agents measure, ms, as configured. */
  readonly intervalMs?: number;
  /** Agents are to measure this often from now on: the database does not keep up, or does again. */
  readonly onPace?: (intervalMs: number) => void;
  /** Of encoded samples that wait to be written. Default: a minute of ten thousand nodes. */
  readonly limitBytes?: number;
}

export interface Telemetry extends Part {
  /** What came in one message, oldest first. Never waits and never throws: telemetry must not slow down a session. */
  take(nodeId: string, reports: readonly TelemetryReport[]): void;
  /** Writes what is gathered. */
  flush(): Promise<void>;
  /** Averages and cuts what is old. */
  cut(): Promise<void>;
  /** What is kept has changed: the next cut is now. */
  wake(): void;
  /** Samples since the start: in the database, and lost because it did not keep up. */
  counts(): { readonly written: number; readonly lost: number };
}

const flushEveryMs = 3_000;
const cutEveryMs = 300_000;
/** When the database is slow, telemetry is lost and nothing else. */
const defaultLimitBytes = 64 << 20;
/** Writing may take this share of the time at most: the samples of a large fleet are gathered for longer. What cannot wait has its turn in between. */
const busyShare = 0.5;
const defaultWindowSeconds = 900;
const longestWindowSeconds = 7 * 86_400;
const defaultSamples = 240;
const mostSamples = 2_000;

export function createTelemetry(options: TelemetryOptions): Telemetry {
  const { db, events, log, nowMs, keep, onWritten, intervalMs = 1_000, onPace, limitBytes = defaultLimitBytes } = options;
  const stopping = new AbortController();
  const gathered = createGathered(limitBytes, nowMs);
  const counts = { written: 0, lost: 0 };
  let before = performance.eventLoopUtilization();
  let paceMs = intervalMs;
  let loops: Promise<unknown> = Promise.resolve();

  async function flush(): Promise<void> {
    const { written, lost, filled } = gathered.empty();
    counts.lost += lost;
    if (lost > 0) log.warn({ lost }, "telemetry is lost: the database does not keep up");
    await keepPace(lost, filled).catch((caught: unknown) => log.warn({ err: caught }, "the pace of telemetry cannot be told"));
    for (let from = 0; from < written.length; from += batch) {
      const kept = await writeSamples(db, written.slice(from, from + batch)).catch((caught: unknown) => {
        counts.lost += countOf(written.slice(from));
        throw caught;
      });
      counts.written += kept;
    }
    if (written.length > 0) onWritten?.();
  }

  async function keepPace(lost: number, filled: number): Promise<void> {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    const askedMs = nextIntervalMs(paceMs, intervalMs, { lost, filled, busy: utilization });
    if (askedMs === paceMs) return;
    const isSlower = askedMs > paceMs;
    paceMs = askedMs;
    log.warn({ everyMs: paceMs, lost }, "telemetry.pace");
    onPace?.(paceMs);
    await events.append(db, {
      type: isSlower ? "telemetry.slower" : "telemetry.faster",
      subject: "core",
      message: isSlower
        ? `nodes measure only every ${paceMs / 1000} s from now on: the control plane does not keep up${lost > 0 ? `, ${lost} samples are lost` : ""}`
        : `nodes measure every ${paceMs / 1000} s again`,
      data: { everyMs: paceMs, lost },
    });
  }

  async function cut(): Promise<void> {
    const { fineMinutes, days } = keep();
    await averageMinutes(db, new Date(nowMs() - fineMinutes * 60_000));
    await cutMinutes(db, new Date(nowMs() - days * 86_400_000));
  }

  const pause = createPause();
  async function every(
    periodMs: number,
    what: string,
    work: () => Promise<void>,
    signal: AbortSignal,
    between = createPause(),
  ): Promise<void> {
    let tookMs = 0;
    while (!signal.aborted) {
      await between.wait(Math.max(periodMs, tookMs / busyShare), signal);
      const startedMs = performance.now();
      if (!signal.aborted) await work().catch((caught: unknown) => log.error({ err: caught }, what));
      tookMs = performance.now() - startedMs;
    }
  }

  return {
    take: gathered.take,
    flush,
    cut,
    wake: pause.end,
    counts: () => counts,
    routes(router) {
      router.service(TelemetryService, {
        async getNodeTelemetry({ id, windowSeconds, maxSamples }) {
          const span = parseSpan(windowSeconds, maxSamples, nowMs());
          await requireNode(db, id, "id");
          const samples = await readNodeSamples(db, id, span.sinceMs);
          return { samples: thin(NodeSampleSchema, samples, span), ...stamps(span) };
        },
        async getWorkloadTelemetry({ name, windowSeconds, maxSamples }) {
          const span = parseSpan(windowSeconds, maxSamples, nowMs());
          const row = await requireWorkload(db, name);
          // A workload that had the same name before is another one.
          const samples = await readWorkloadSamples(db, name, Math.max(span.sinceMs, row.created_at.getTime()));
          return { samples: thin(WorkloadSampleSchema, samples, span), ...stamps(span) };
        },
      });
    },
    async start(outer) {
      const signal = AbortSignal.any([outer, stopping.signal]);
      loops = Promise.all([
        every(flushEveryMs, "telemetry cannot be written", flush, signal),
        every(cutEveryMs, "old telemetry cannot be cut", cut, signal, pause),
      ]);
    },
    async stop() {
      stopping.abort();
      await loops;
      await flush().catch((caught: unknown) => log.warn({ err: caught }, "the last telemetry cannot be written"));
    },
  };
}

const countOf = (written: readonly Written[]): number => written.reduce((sum, { count }) => sum + count, 0);

interface Span {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly windowMs: number;
  readonly count: number;
}

function parseSpan(windowSeconds: number, maxSamples: number, nowMs: number): Span {
  const seconds = windowSeconds || defaultWindowSeconds;
  const count = maxSamples || defaultSamples;
  if (seconds > longestWindowSeconds)
    throw fault("INVALID_ARGUMENT", `window_seconds is at most ${longestWindowSeconds} (7 days)`, { field: "window_seconds" });
  if (count > mostSamples) throw fault("INVALID_ARGUMENT", `max_samples is at most ${mostSamples}`, { field: "max_samples" });
  return { sinceMs: nowMs - seconds * 1000, untilMs: nowMs, windowMs: seconds * 1000, count };
}

const stamps = ({ sinceMs, untilMs }: Span) => ({ since: timestampFromMs(sinceMs), until: timestampFromMs(untilMs) });
