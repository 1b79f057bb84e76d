// What is known of a pair's link and a workload's writes before a move: its forecast is made from it.
import { NodeUsageSchema } from "@aether/contract/gen/aether/v2/node_pb";
import type { WorkloadSample } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { readProbes } from "../certificate/probes.ts";
import type { Db } from "../db/database.ts";
import { fromColumnOrNone } from "../db/proto.ts";
import { newestOfWorkloads } from "../telemetry/store.ts";

export interface PairRates {
  /** Bytes a second; 0: not known. */
  readonly link: number;
  readonly dirty: number;
  readonly basis: string;
  /** Memory that the target has free, bytes; 0: not known. */
  readonly targetFreeBytes: number;
}

export const unknownRates: PairRates = { link: 0, dirty: 0, basis: "", targetFreeBytes: 0 };

/** How old a sample may be and still say how fast memory is written, ms. */
export const writesAgeMs = 300_000;

/** Mean over the samples that count writes; undefined where none does. */
export function writesOf(samples: readonly WorkloadSample[]): { readonly bytesPerSecond: number; readonly source: string } | undefined {
  const counted = samples.flatMap(({ dirtyBytesPerSecond: rate, dirtySource: source }) => (rate === undefined ? [] : [{ rate, source }]));
  const last = counted.at(-1);
  if (last === undefined) return undefined;
  return { bytesPerSecond: counted.reduce((sum, { rate }) => sum + rate, 0) / counted.length, source: last.source };
}

/** From the last five moves between the two nodes, either way, and the newest samples of the last five minutes. */
export async function readPairRates(db: Db, workload: string, source: string, target: string, nowMs: number): Promise<PairRates> {
  const [moves, telemetry, node] = await Promise.all([
    db
      .selectFrom("move_measurements")
      .select("bytes_per_second")
      .where("source_node_id", "in", [source, target])
      .where("target_node_id", "in", [source, target])
      .where("bytes_per_second", "is not", null)
      .orderBy("at", "desc")
      .limit(5)
      .execute(),
    newestOfWorkloads(db, [workload], nowMs - writesAgeMs),
    db.selectFrom("nodes").select("usage").where("id", "=", target).executeTakeFirst(),
  ]);
  const measured = moves.flatMap(({ bytes_per_second: rate }) => rate ?? []).sort((a, b) => a - b);
  const probed = measured.length > 0 ? undefined : (await readProbes(db, nowMs)).get(`${source} ${target}`)?.bytesPerSecond;
  const link = measured[Math.floor(measured.length / 2)] ?? probed ?? 0;
  const writes = writesOf(telemetry.get(workload) ?? []);
  const basis = [
    probed !== undefined
      ? "the link as a short transfer measured it lately"
      : link > 0
        ? `the link as in ${measured.length} earlier ${measured.length === 1 ? "move" : "moves"} of these nodes`
        : "the link is assumed",
    ...(writes === undefined ? [] : ["its writes by telemetry"]),
  ];
  return {
    link,
    dirty: writes?.bytesPerSecond ?? 0,
    basis: basis.join(", "),
    targetFreeBytes: Number(fromColumnOrNone(NodeUsageSchema, node?.usage ?? null)?.memoryAvailableBytes ?? 0),
  };
}
