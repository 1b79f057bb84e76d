// Everything that certificates are made of, read in one pass over the fleet. A reclaim takes all workloads of a node at once: each is looked at with those that
// leave before it on their way already, so that the room it is promised on its target is its own, and its time has its turn in it.
import type { PreflightReport } from "@aether/contract/gen/aether/v2/migration_pb";
import { MigrationMode, PreflightReportSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { type WorkloadNeeds, WorkloadPreflightSchema } from "@aether/contract/gen/aether/v2/preflight_pb";
import { WorkloadSpecSchema, WorkloadUsageSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { z } from "zod";
import type { Db } from "../db/database.ts";
import { fromColumn, fromColumnOrNone } from "../db/proto.ts";
import { leftRecently, openCircuits, type RailLimits } from "../guard/rails.ts";
import { readPastMoves } from "../guard/store.ts";
import { hasSharedVolume, readNodeViews } from "../migration/fleet-view.ts";
import { modeFromProto } from "../migration/mode.ts";
import { explainTarget, type NodeView, poolOf, poolsUnderSignal, type ScoreContext } from "../migration/plan.ts";
import { writesAgeMs, writesOf } from "../migration/rates.ts";
import { createTargets } from "../migration/targets.ts";
import { byUrgency, createSchedule, type Schedule } from "../migration/wave.ts";
import { readPoliciesInForce } from "../policy/in-force.ts";
import { newestOfWorkloads } from "../telemetry/store.ts";
import type { CertificateFacts, Known } from "./certify.ts";
import { paceOf } from "./estimate.ts";
import { bandwidthOf, type Measured, relevant, spreadOf } from "./measure.ts";
import { readProbes } from "./probes.ts";
import { timesOf } from "./times.ts";

/** AWS gives two minutes; the last of it is not relied on. */
const noticeWindowMs = 120_000;
const lateMarginMs = 5_000;
const windowMs = noticeWindowMs - lateMarginMs;

export interface ReadFacts {
  readonly db: Db;
  readonly isConnected: (nodeId: string) => boolean;
  readonly moves: readonly Measured[];
  readonly limits: RailLimits;
  readonly isPaused: boolean;
  readonly nowMs: number;
}

/**
 * One entry for each workload that is on a node: running, moving, lost, or waiting for a person; node by node, in the order in which they would leave.
 * Made when it is asked for: a fleet's would be large.
 */
export async function readCertificateFacts(options: ReadFacts): Promise<Iterator<CertificateFacts>> {
  const { db, isConnected, moves, limits, isPaused, nowMs } = options;
  const rows = await db
    .selectFrom("workloads")
    .innerJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
    .leftJoin("certificates", "certificates.workload", "workloads.name")
    .selectAll("workloads")
    .select(["placements.node_id", "certificates.predicted"])
    .where("workloads.state", "in", ["running", "migrating", "lost", "needs_operator"])
    .orderBy("placements.node_id")
    .orderBy("workloads.name")
    .execute();
  if (rows.length === 0) return [].values();
  const nodes = (await readNodeViews(db, isConnected)).map((node) => ({ ...node, pool: poolOf(node) }));
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
  const past = await readPastMoves(db, nowMs);
  const left = leftRecently(past, nowMs);
  const context: ScoreContext = {
    poolsUnderSignal: poolsUnderSignal(nodes),
    openCircuits: new Set(openCircuits(past, limits, nowMs).map((pair) => `${pair.sourceNodeId} ${pair.targetNodeId}`)),
    picksByPool: new Map(),
  };

  /** What a workload needs of a target, and how it leaves. */
  function leavingOf(row: (typeof rows)[number]) {
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
    const effective = inForce.of(spec);
    const need = {
      name: row.name,
      nodeId: row.node_id,
      memoryBytes: memory.value,
      needs: preflight?.needs,
      hasSharedVolume: hasSharedVolume(spec),
      leftRecently: left.get(row.name) ?? nowhere,
      priority: effective.priority.value,
      leftMs: noticeWindowMs,
      times: timesOf(row.predicted, memory.value),
    };
    return { row, preflight, memory, effective, need };
  }

  function factsOf({ row, preflight, memory, effective, need }: ReturnType<typeof leavingOf>, turn: Turn) {
    const source = byId.get(row.node_id);
    const { rated, unable } = places.look(need, source, context);
    // As the wave planner takes one: the best that it reaches in time, with its turn.
    const inTime = rated.find(({ node }) => turn.schedule.peek(need, node.id).safeMs <= windowMs) ?? rated[0];
    const target = inTime?.node;
    // Those that it would go to, and if there is none, why.
    const second = rated.find((each) => each !== inTime);
    const shown = target === undefined ? unable.slice(0, 6) : [target, ...(second === undefined ? [] : [second.node])];
    const targets = shown.map((node) => explainTarget(need, source, node, context));
    const bandwidth = bandwidthOf(moves, row.node_id, target?.id ?? "", {
      nowMs,
      probed: probed.get(`${row.node_id} ${target?.id}`),
    });
    const slot = target === undefined ? undefined : turn.schedule.peek(need, target.id);
    const forecast = preflight?.report.forecast;
    const mine = relevant(moves, row.name);
    const { value: wished, source: wishedBy } = effective.mode;
    const chosen = chosenMode(preflight?.report, memory.value, source, target);
    const mode = wished === "auto" ? chosen : wished;
    const facts: CertificateFacts = {
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
      canary: {
        dumpMs: source?.capabilities?.criu?.canaryDumpMs ?? 0,
        restoreMs: target?.capabilities?.criu?.canaryRestoreMs ?? source?.capabilities?.criu?.canaryRestoreMs ?? 0,
      },
      processor: processorOf(preflight?.needs, source),
      mode,
      modeReason:
        wished === "auto"
          ? (preflight?.report.modeReason ?? "what its size and its node suggest: no preflight yet")
          : `${wishedBy} says so`,
      // What was forecast for another mode says nothing of this one.
      freezeBytes: mode === chosen && forecast !== undefined && forecast.freezeBytes > 0n ? Number(forecast.freezeBytes) : undefined,
      preflight: preflight && { blockers: preflight.report.blockers, warnings: preflight.report.warnings, ageMs: nowMs - preflight.atMs },
      targets,
      room: target && { freeBytes: target.memoryAvailableBytes, ofBytes: target.memoryBytes },
      turn: {
        position: turn.before.length + 1,
        count: turn.count,
        before: turn.before,
        // What it waits for others, beyond what its own move takes.
        waitMs: slot === undefined ? 0 : Math.max(0, slot.safeMs - need.times.timeToSafeMs),
      },
      isSamePool: source !== undefined && target !== undefined && poolOf(source) !== "" && poolOf(source) === poolOf(target),
      objective: { freezeMs: effective.maxFreezeMs.value, timeToSafeMs: effective.maxTimeToSafeMs.value },
      windowMs,
      pace: paceOf(mine),
      spread: { freeze: spreadOf(mine, "freezeMs"), timeToSafe: spreadOf(mine, "timeToSafeMs") },
    };
    return { facts, target, slot };
  }

  /** All of one node, as if it was given notice now; what they take of their targets is given back at the end. */
  function* ofNode(group: typeof rows): Generator<CertificateFacts> {
    const schedule = createSchedule({ ...limits, busy: new Map(), busyInAll: 0 });
    const before: string[] = [];
    const taken: { readonly node: (typeof nodes)[number]; readonly bytes: number }[] = [];
    try {
      for (const leaving of group.map(leavingOf).sort((a, b) => byUrgency(a.need, b.need))) {
        const { facts, target: found, slot } = factsOf(leaving, { schedule, before: [...before], count: group.length });
        yield facts;
        before.push(leaving.need.name);
        const node = found && byId.get(found.id);
        // After the last one nobody asks.
        if (node === undefined || slot === undefined || before.length === group.length) continue;
        schedule.take(leaving.need, node.id, slot);
        // What is on its way already has its room there.
        if (leaving.row.migration_id !== null) continue;
        take(node, leaving.need.memoryBytes, 1);
        taken.push({ node, bytes: leaving.need.memoryBytes });
      }
    } finally {
      for (const { node, bytes } of taken) take(node, -bytes, -1);
    }
  }

  function take(node: (typeof nodes)[number], bytes: number, count: number): void {
    node.memoryAvailableBytes -= bytes;
    node.workloadCount += count;
    places.turns(node);
  }

  return (function* () {
    for (let from = 0; from < rows.length; ) {
      let to = from + 1;
      while (rows[to]?.node_id === rows[from]?.node_id && to < rows.length) to++;
      yield* ofNode(rows.slice(from, to));
      from = to;
    }
  })();
}

interface Turn {
  readonly schedule: Schedule;
  /** Workloads of the same node that leave before it. */
  readonly before: readonly string[];
  readonly count: number;
}

const nowhere: ReadonlySet<string> = new Set();

/** What its target's processor must have. */
function processorOf(needs: WorkloadNeeds | undefined, source: NodeView | undefined): Known & { readonly arch: string } {
  const arch = needs?.arch || source?.capabilities?.arch || "";
  if (needs !== undefined) {
    const { cpuFeatures, xsaveComponents } = needs;
    return { arch, value: cpuFeatures.length + xsaveComponents.length, basis: "measured", detail: "its own code's, found by its node" };
  }
  const count = source?.capabilities?.cpuFeatures.length ?? 0;
  if (count === 0) return { arch, value: 0, basis: "missing", detail: "neither its node nor its code has said what it needs" };
  return { arch, value: count, basis: "assumed", detail: "all that its node has: what its code uses is not known yet" };
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
