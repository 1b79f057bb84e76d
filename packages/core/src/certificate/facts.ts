// Everything that certificates are made of, read in one pass over the fleet.
import type { PreflightReport } from "@aether/contract/gen/aether/v2/migration_pb";
import { MigrationMode, PreflightReportSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { type WorkloadNeeds, WorkloadPreflightSchema } from "@aether/contract/gen/aether/v2/preflight_pb";
import { WorkloadSpecSchema, WorkloadUsageSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { z } from "zod";
import type { Db } from "../db/database.ts";
import { fromColumn, fromColumnOrNone } from "../db/proto.ts";
import { readNodeViews } from "../migration/fleet-view.ts";
import { modeFromProto } from "../migration/mode.ts";
import { explainTarget, type NodeView, noContext, poolOf } from "../migration/plan.ts";
import { writesAgeMs, writesOf } from "../migration/rates.ts";
import { createTargets } from "../migration/targets.ts";
import { readPoliciesInForce } from "../policy/in-force.ts";
import { newestOfWorkloads } from "../telemetry/store.ts";
import type { CertificateFacts, Known } from "./certify.ts";
import { paceOf } from "./estimate.ts";
import { bandwidthOf, type Measured, relevant, spreadOf } from "./measure.ts";
import { readProbes } from "./probes.ts";

/** AWS gives two minutes; the last of it is not relied on. */
const noticeWindowMs = 120_000;
const lateMarginMs = 5_000;

export interface ReadFacts {
  readonly db: Db;
  readonly isConnected: (nodeId: string) => boolean;
  readonly moves: readonly Measured[];
  readonly isPaused: boolean;
  readonly nowMs: number;
}

/** One entry for each workload that is on a node: running, moving, lost, or waiting for a person. Made when it is asked for: a fleet's would be large. */
export async function readCertificateFacts({ db, isConnected, moves, isPaused, nowMs }: ReadFacts): Promise<(() => CertificateFacts)[]> {
  const rows = await db
    .selectFrom("workloads")
    .innerJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
    .selectAll("workloads")
    .select("placements.node_id")
    .where("workloads.state", "in", ["running", "migrating", "lost", "needs_operator"])
    .orderBy("workloads.name")
    .execute();
  if (rows.length === 0) return [];
  const nodes = await readNodeViews(db, isConnected);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const places = createTargets(nodes);
  const preflights = await readPreflights(db);
  const probed = await readProbes(db, nowMs);
  const dirty = await readDirtyRates(
    db,
    rows.map(({ name }) => name),
    nowMs,
  );
  const inForce = await readPoliciesInForce(db);
  return rows.map((row) => () => {
    const spec = fromColumn(WorkloadSpecSchema, row.spec);
    const usage = fromColumnOrNone(WorkloadUsageSchema, row.usage);
    const preflight = preflights.get(row.name);
    const memory = memoryOf(
      preflight,
      Number(usage?.memoryBytes ?? 0n),
      usage?.measuredAt && timestampMs(usage.measuredAt),
      Number(spec.memoryLimitBytes),
      nowMs,
    );
    const source = byId.get(row.node_id);
    const need = { name: row.name, nodeId: row.node_id, memoryBytes: memory.value, needs: preflight?.needs };
    const { rated, unable } = places.look(need, source, noContext);
    // Those that it would go to, and if there is none, why.
    const shown = rated.length > 0 ? rated.slice(0, 2).map(({ node }) => node) : unable.slice(0, 6);
    const targets = shown.map((node) => explainTarget(need, source, node, noContext));
    const target = rated[0]?.node;
    const bandwidth = bandwidthOf(moves, row.node_id, target?.id ?? "", probed.get(`${row.node_id} ${target?.id}`));
    const forecast = preflight?.report.forecast;
    const mine = relevant(moves, row.name);
    const effective = inForce.of(spec);
    const { value: wished, source: wishedBy } = effective.mode;
    const chosen = chosenMode(preflight?.report, memory.value, source, target);
    const mode = wished === "auto" ? chosen : wished;
    return {
      workload: row.name,
      nodeId: row.node_id,
      state: row.state,
      stateReason: row.reason,
      isSourceConnected: isConnected(row.node_id),
      sourceProblem: source?.capabilities?.criu?.available
        ? undefined
        : source?.capabilities?.criu?.reason || "its checkpoint tool is not available",
      isPaused,
      memory,
      files: filesOf(preflight, nowMs),
      dirtyRate: dirty.get(row.name) ?? {
        value: 0.25 * bandwidth.bytesPerSecond,
        basis: "assumed",
        detail: "a quarter of the link's bandwidth: not measured in the last minutes",
      },
      bandwidth,
      canaryMs:
        (source?.capabilities?.criu?.canaryDumpMs ?? 0) +
        (target?.capabilities?.criu?.canaryRestoreMs ?? source?.capabilities?.criu?.canaryRestoreMs ?? 0),
      mode,
      modeReason:
        wished === "auto"
          ? (preflight?.report.modeReason ?? "what its size and its node suggest: no preflight yet")
          : `${wishedBy} says so`,
      // What was forecast for another mode says nothing of this one.
      freezeBytes: mode === chosen && forecast !== undefined && forecast.freezeBytes > 0n ? Number(forecast.freezeBytes) : undefined,
      preflight: preflight && { blockers: preflight.report.blockers, warnings: preflight.report.warnings, ageMs: nowMs - preflight.atMs },
      targets,
      isSamePool: source !== undefined && target !== undefined && poolOf(source) !== "" && poolOf(source) === poolOf(target),
      objective: { freezeMs: effective.maxFreezeMs.value, timeToSafeMs: effective.maxTimeToSafeMs.value },
      windowMs: noticeWindowMs - lateMarginMs,
      pace: paceOf(mine),
      spread: { freeze: spreadOf(mine, "freezeMs"), timeToSafe: spreadOf(mine, "timeToSafeMs") },
    };
  });
}

interface Preflight {
  readonly report: PreflightReport;
  readonly needs?: WorkloadNeeds | undefined;
  readonly atMs: number;
}

/** The newest answer of each workload's node: of its own accord, or to the last preflight that was asked for. */
async function readPreflights(db: Db): Promise<Map<string, Preflight>> {
  const found = new Map<string, Preflight>();
  const asked = await db
    .selectFrom("commands")
    .distinctOn("workload")
    .select(["workload", "result", "finished_at"])
    .where("action", "=", "preflight")
    .where("outcome", "=", "ok")
    .orderBy("workload")
    .orderBy("finished_at", "desc")
    .execute();
  for (const { workload, result, finished_at } of asked) {
    const preflight = z.object({ preflight: z.json() }).safeParse(result);
    if (!preflight.success || finished_at === null) continue;
    const report = fromJson(PreflightReportSchema, preflight.data.preflight as JsonValue, { ignoreUnknownFields: true });
    found.set(workload, { report, atMs: finished_at.getTime() });
  }
  const told = await db.selectFrom("workloads").select(["name", "preflight"]).where("preflight", "is not", null).execute();
  for (const { name, preflight } of told) {
    const { report, needs, checkedAt } = fromColumnOrNone(WorkloadPreflightSchema, preflight) ?? {};
    const atMs = checkedAt === undefined ? 0 : timestampMs(checkedAt);
    if (report !== undefined && atMs >= (found.get(name)?.atMs ?? 0)) found.set(name, { report, needs, atMs });
  }
  return found;
}

async function readDirtyRates(db: Db, workloads: readonly string[], nowMs: number): Promise<Map<string, Known>> {
  const found = new Map<string, Known>();
  for (const [workload, samples] of await newestOfWorkloads(db, workloads, nowMs - writesAgeMs)) {
    const writes = writesOf(samples);
    if (writes === undefined) continue;
    const isCounted = writes.source === "wp_async" || writes.source === "soft_dirty";
    found.set(workload, {
      value: writes.bytesPerSecond,
      basis: isCounted ? "measured" : "assumed",
      detail: isCounted ? `${writes.source}, mean of its newest samples` : "a lower bound from page faults",
    });
  }
  return found;
}

function memoryOf(
  preflight: Preflight | undefined,
  usageBytes: number,
  usageAtMs: number | undefined,
  limitBytes: number,
  nowMs: number,
): Known {
  const ago = (atMs: number) => `${Math.max(0, Math.round((nowMs - atMs) / 1000))} s ago`;
  if (usageBytes > 0)
    return { value: usageBytes, basis: "measured", detail: usageAtMs === undefined ? "by its node" : `by its node, ${ago(usageAtMs)}` };
  if (preflight !== undefined && preflight.report.memoryBytes > 0n)
    return { value: Number(preflight.report.memoryBytes), basis: "measured", detail: `preflight, ${ago(preflight.atMs)}` };
  if (limitBytes > 0) return { value: limitBytes, basis: "assumed", detail: "its limit: nothing was measured yet" };
  return { value: 512 << 20, basis: "assumed", detail: "half a GiB: nothing was measured yet, and it has no limit" };
}

function filesOf(preflight: Preflight | undefined, nowMs: number): Known {
  if (preflight === undefined) return { value: 64 << 20, basis: "assumed", detail: "64 MiB: no preflight has counted them yet" };
  return {
    value: Number(preflight.report.fileBytes),
    basis: "measured",
    detail: `preflight, ${Math.round((nowMs - preflight.atMs) / 1000)} s ago`,
  };
}

function chosenMode(
  report: PreflightReport | undefined,
  memoryBytes: number,
  source: NodeView | undefined,
  target: NodeView | undefined,
): CertificateFacts["mode"] {
  const said = modeFromProto(report?.chosenMode ?? MigrationMode.UNSPECIFIED);
  if (said !== undefined && said !== "auto") return said;
  const canLazy = source?.capabilities?.lazyPages === true && target?.capabilities?.lazyPages === true;
  return memoryBytes > 96 << 20 && canLazy ? "post_copy" : "stop_and_copy";
}
