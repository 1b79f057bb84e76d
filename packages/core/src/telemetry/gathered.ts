// What agents measured, on its way into the database. A node is believed for itself and, at the writing, for workloads that are placed on it; numbers
// that cannot be (negative, not finite, beyond any machine) are dropped, so that no sum of them overflows; time is the control plane's. Encoded at once: ten thousand nodes leave as many short byte
// strings to wait and not a hundred thousand objects. Bounded: what does not fit is lost, and counted.
import { isLabel } from "@aether/contract";
import {
  type NodeSample,
  NodeSampleSchema,
  type TelemetryReport,
  type WorkloadSample,
  WorkloadSampleSchema,
} from "@aether/contract/gen/aether/v2/telemetry_pb";
import { type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { encodeSamples, longestRowMs, type Written } from "./store.ts";

export interface Gathered {
  /** Reports of one message of a node, oldest first. Never waits and never throws. */
  take(nodeId: string, reports: readonly TelemetryReport[]): void;
  /** All of it, and how many samples found no room since the last call. What comes next is gathered anew. */
  empty(): { readonly written: Written[]; readonly lost: number; readonly filled: number };
}

/** Reports in one message beyond these are not believed: at a sample a second, heartbeats would be two minutes apart. */
const reportsLimit = 120;
/** Nor is a report of more workloads than a node can run. */
const workloadsLimit = 500;
const dirtySources = new Set(["wp_async", "soft_dirty", "minor_faults"]);
/** More than any machine has or moves: of bytes, of bytes a second, of anything else that is measured. */
const mostDouble = 1e15;
const mostBytes = 2n ** 53n;
/** No sample stands for a longer time. */
const longestSpanMs = 3_600_000;
/** Half of the longest row: the rest is for how long it waits here. */
const oldestMs = longestRowMs / 2;

/** @param limitBytes of encoded samples. */
export function createGathered(limitBytes: number, nowMs: () => number): Gathered {
  type Waiting = Omit<Written, "parts" | "count"> & { readonly parts: Uint8Array[]; count: number };
  let bySubject = new Map<string, Waiting>();
  let bytes = 0;
  let lost = 0;

  function add(nodeId: string, workload: string | undefined, fromMs: number, count: number, part: Uint8Array): void {
    if (bytes + part.length > limitBytes) {
      lost += count;
      return;
    }
    bytes += part.length;
    const key = workload === undefined ? nodeId : `${nodeId} ${workload}`;
    const there = bySubject.get(key);
    if (there === undefined) bySubject.set(key, { nodeId, workload, fromMs, count, parts: [part] });
    else {
      there.parts.push(part);
      there.count += count;
    }
  }

  return {
    take(nodeId, reports) {
      const now = nowMs();
      const nodes: NodeSample[] = [];
      const workloads = new Map<string, WorkloadSample[]>();
      lost += Math.max(0, reports.length - reportsLimit);
      for (const report of reports.slice(-reportsLimit)) {
        const at = timestampFromMs(now - Math.min(report.ageMs, oldestMs));
        if (report.node !== undefined) {
          report.node.at = at;
          nodes.push(believable(NodeSampleSchema, report.node));
        }
        for (const [name, sample] of Object.entries(report.workloads).slice(0, workloadsLimit)) {
          if (!isLabel(name)) continue;
          Object.assign(sample, { at, nodeId });
          if (!dirtySources.has(sample.dirtySource)) sample.dirtySource = "unknown";
          const own = workloads.get(name) ?? [];
          own.push(believable(WorkloadSampleSchema, sample));
          workloads.set(name, own);
        }
      }
      const fromMs = now - Math.min(reports[0]?.ageMs ?? 0, oldestMs);
      if (nodes.length > 0) add(nodeId, undefined, fromMs, nodes.length, encodeSamples({ nodes }));
      for (const [name, own] of workloads) add(nodeId, name, fromMs, own.length, encodeSamples({ workloads: own }));
    },
    empty() {
      const taken = { written: [...bySubject.values()], lost, filled: bytes / limitBytes };
      bySubject = new Map();
      bytes = 0;
      lost = 0;
      return taken;
    },
  };
}

/** Without numbers that cannot be: they are taken out of it. */
function believable<Sample extends { spanMs: number }>(schema: DescMessage, sample: Sample): Sample {
  for (const name of numbersOf(schema)) {
    const value: unknown = Reflect.get(sample, name);
    const isFit = typeof value === "number" ? value >= 0 && value <= mostDouble : typeof value !== "bigint" || value <= mostBytes;
    if (!isFit) Reflect.set(sample, name, undefined);
  }
  sample.spanMs = Math.min(sample.spanMs, longestSpanMs);
  return sample;
}

const numbers = new Map<DescMessage, readonly string[]>();

/** The fields of a kind that can hold such a number. */
function numbersOf(schema: DescMessage): readonly string[] {
  const known = numbers.get(schema);
  if (known !== undefined) return known;
  const found = schema.fields.flatMap((field) =>
    field.fieldKind === "scalar" && (field.scalar === ScalarType.DOUBLE || field.scalar === ScalarType.UINT64) ? [field.localName] : [],
  );
  numbers.set(schema, found);
  return found;
}
