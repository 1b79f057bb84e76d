// Takes what agents measure, and serves it. A node is believed for itself and for workloads that are placed on it; numbers that cannot be
// (negative, not finite) are dropped; time is the control plane's. Samples are gathered for a few seconds and written in one statement, so
// that the fleet's size hardly matters to the database.
import { fault } from "@aether/contract";
import {
  NodeSampleSchema,
  type TelemetryReport,
  TelemetryService,
  WorkloadSampleSchema,
} from "@aether/contract/gen/aether/v2/telemetry_pb";
import { type Logger, sleep } from "@aether/kit";
import { type DescMessage, type MessageShape, ScalarType } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Db } from "../db/database.ts";
import { requireNode } from "../fleet/node-store.ts";
import type { Part } from "../part.ts";
import { requireWorkload } from "../workload/store.ts";
import { thin } from "./average.ts";
import { nextIntervalMs } from "./pace.ts";
import { appendSamples, averageMinutes, cutMinutes, readSamples, type Sample } from "./store.ts";

export interface TelemetryOptions {
  readonly db: Db;
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
}

export interface Telemetry extends Part {
  /** Never waits and never throws: telemetry must not slow down a session. */
  take(nodeId: string, report: TelemetryReport): void;
  /** Writes what is gathered. */
  flush(): Promise<void>;
  /** Averages and cuts what is old. */
  cut(): Promise<void>;
  /** Samples since the start: in the database, and lost because it did not keep up. */
  counts(): { readonly written: number; readonly lost: number };
}

const flushEveryMs = 3_000;
const cutEveryMs = 300_000;
/** A report of more workloads than a node can run is not believed. */
const workloadsLimit = 500;
/** Samples that wait to be written; when the database is slow, telemetry is lost and nothing else. */
const gatheredLimit = 300_000;
/** Writing may take this share of the time at most: the samples of a large fleet are gathered for longer. What cannot wait has its turn in between. */
const busyShare = 0.5;
const dirtySources = new Set(["wp_async", "soft_dirty", "minor_faults"]);
const defaultWindowSeconds = 900;
const longestWindowSeconds = 7 * 86_400;
const defaultSamples = 240;
const mostSamples = 2_000;

interface Gathered {
  readonly nodeId: string;
  readonly workload: string | undefined;
  readonly sample: Sample;
}

export function createTelemetry({ db, log, nowMs, keep, onWritten, intervalMs = 1_000, onPace }: TelemetryOptions): Telemetry {
  const stopping = new AbortController();
  let gathered: Gathered[] = [];
  let lost = 0;
  const counts = { written: 0, lost: 0 };
  let paceMs = intervalMs;
  let loops: Promise<unknown> = Promise.resolve();

  async function flush(): Promise<void> {
    const taken = gathered;
    gathered = [];
    const askedMs = nextIntervalMs(paceMs, intervalMs, { lost, filled: taken.length / gatheredLimit });
    if (askedMs !== paceMs) {
      paceMs = askedMs;
      log.warn({ everyMs: paceMs }, "telemetry.pace");
      onPace?.(paceMs);
    }
    if (lost > 0) log.warn({ lost }, "telemetry is lost: the database does not keep up");
    counts.lost += lost;
    lost = 0;
    const names = [...new Set(taken.flatMap(({ workload }) => workload ?? []))];
    const placed = names.length === 0 ? [] : await activePlacements(names);
    const nodeOf = new Map(placed.map(({ workload, node_id }) => [workload, node_id]));
    const believed = taken.filter(({ nodeId, workload }) => workload === undefined || nodeOf.get(workload) === nodeId);
    await appendSamples(
      db,
      believed.map(({ nodeId, workload, sample }) => ({
        subject: workload === undefined ? `node/${nodeId}` : `workload/${workload}`,
        sample,
      })),
    );
    if (believed.length > 0) onWritten?.();
    counts.written += believed.length;
  }

  const activePlacements = (names: readonly string[]) =>
    db.selectFrom("placements").select(["workload", "node_id"]).where("is_active", "=", true).where("workload", "in", names).execute();

  async function cut(): Promise<void> {
    const { fineMinutes, days } = keep();
    await averageMinutes(db, new Date(nowMs() - fineMinutes * 60_000));
    await cutMinutes(db, new Date(nowMs() - days * 86_400_000));
  }

  async function every(periodMs: number, what: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    let tookMs = 0;
    while (!signal.aborted) {
      await sleep(Math.max(periodMs, tookMs / busyShare), signal).catch(() => undefined);
      const startedMs = performance.now();
      if (!signal.aborted) await work().catch((caught: unknown) => log.error({ err: caught }, what));
      tookMs = performance.now() - startedMs;
    }
  }

  return {
    take(nodeId, { node, workloads }) {
      const add = (one: Gathered) => {
        if (gathered.length < gatheredLimit) gathered.push(one);
        else lost++;
      };
      const at = timestampFromMs(nowMs());
      if (node) {
        const sample = believable(NodeSampleSchema, node);
        sample.at = at;
        add({ nodeId, workload: undefined, sample });
      }
      for (const [name, said] of Object.entries(workloads).slice(0, workloadsLimit)) {
        const sample = believable(WorkloadSampleSchema, said);
        Object.assign(sample, { at, nodeId });
        if (!dirtySources.has(sample.dirtySource)) sample.dirtySource = "unknown";
        add({ nodeId, workload: name, sample });
      }
    },
    flush,
    cut,
    counts: () => counts,
    routes(router) {
      router.service(TelemetryService, {
        async getNodeTelemetry({ id, windowSeconds, maxSamples }) {
          const span = parseSpan(windowSeconds, maxSamples, nowMs());
          await requireNode(db, id, "id");
          const samples = await readSamples(db, NodeSampleSchema, `node/${id}`, span.sinceMs);
          return { samples: thin(NodeSampleSchema, samples, span), ...stamps(span) };
        },
        async getWorkloadTelemetry({ name, windowSeconds, maxSamples }) {
          const span = parseSpan(windowSeconds, maxSamples, nowMs());
          const row = await requireWorkload(db, name);
          // A workload that had the same name before is another one.
          const samples = await readSamples(db, WorkloadSampleSchema, `workload/${name}`, Math.max(span.sinceMs, row.created_at.getTime()));
          return { samples: thin(WorkloadSampleSchema, samples, span), ...stamps(span) };
        },
      });
    },
    async start(outer) {
      const signal = AbortSignal.any([outer, stopping.signal]);
      loops = Promise.all([
        every(flushEveryMs, "telemetry cannot be written", flush, signal),
        every(cutEveryMs, "old telemetry cannot be cut", cut, signal),
      ]);
    },
    async stop() {
      stopping.abort();
      await loops;
      await flush().catch((caught: unknown) => log.warn({ err: caught }, "the last telemetry cannot be written"));
    },
  };
}

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

/** Without numbers that cannot be: they are taken out of it. */
function believable<Desc extends DescMessage>(schema: Desc, sample: MessageShape<Desc>): MessageShape<Desc> {
  for (const { localName } of numbersOf(schema)) {
    const value: unknown = Reflect.get(sample, localName);
    if (typeof value === "number" && (!Number.isFinite(value) || value < 0)) Reflect.set(sample, localName, undefined);
  }
  return sample;
}

const numbers = new Map<DescMessage, readonly { readonly localName: string }[]>();

/** The optional fields of a kind that can hold such a number. */
function numbersOf(schema: DescMessage): readonly { readonly localName: string }[] {
  const known = numbers.get(schema);
  if (known !== undefined) return known;
  const found = schema.fields.filter((field) => field.fieldKind === "scalar" && field.scalar === ScalarType.DOUBLE);
  numbers.set(schema, found);
  return found;
}
