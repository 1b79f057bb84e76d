// Can this workload be moved as it is, and how? Answered while it is healthy, not in the two minutes.
import { targetMisfits } from "@aether/contract";
import type { Finding, Inspection, MigrationMode, PreflightReport, TargetCapabilities } from "../engine.ts";
import type { Host } from "../host.ts";
import { memoryClasses, totalBytes } from "../memory/classes.ts";
import { type Abilities, chooseMode, type KnownRates } from "../memory/mode.ts";
import { untrackable } from "../memory/pins.ts";
import { tcpTable } from "../network/tcp-table.ts";
import { requireRecord, type WorkloadRecord } from "../record.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { residentBytes } from "../runtime/process.ts";
import { layerSize, rootfsPaths } from "../runtime/rootfs.ts";
import { hostFacts } from "./host-facts.ts";
import { inspectProcesses } from "./inspect.ts";
import type { LayerSize, LayerSizes } from "./layer-sizes.ts";
import { outputFindings } from "./output.ts";

export interface PreflightQuestion {
  readonly requested: MigrationMode;
  readonly target: TargetCapabilities;
  readonly here: Abilities;
  readonly known: KnownRates;
  /** The size of the writable layer. Default: counted now. */
  readonly layer?: () => Promise<LayerSize>;
}

/** Both agents keep a line about each file while it moves: with a quarter of a million they hold some 260 MB, which is what they are given. */
const mostFiles = 250_000;

export async function preflight(
  host: Host,
  workload: string,
  { requested, target, here, known, layer = () => layerSize(host, workload) }: PreflightQuestion,
  signal: AbortSignal,
): Promise<PreflightReport> {
  const record = await requireRecord(host, workload);
  const blockers: Finding[] = [];
  const warnings: Finding[] = [];
  if (record.phase !== "running")
    blockers.push({ code: "NOT_RUNNING", message: `the workload is ${record.phase}`, mend: "Start it.", subject: workload });
  const pids = await pidsOf(host, workload);
  const inspected = await inspectProcesses(pids, await hostFacts(), signal, rootfsPaths(host, workload).upper);
  const memoryBytes = await residentBytes(pids);
  const needs = {
    ...inspected.needs,
    memoryBytes: BigInt(memoryBytes),
    criuVersion: here.criuVersion,
    memoryLimitBytes: BigInt(record.spec.memoryLimitBytes),
    pidsLimit: record.spec.pidsLimit ?? 0,
    places: placesOf(record),
  };
  const misfits = targetMisfits(needs, target);
  blockers.push(...inspected.blockers, ...misfits.blockers);
  warnings.push(...inspected.warnings, ...misfits.warnings, ...(await outputFindings(record)));
  const first = pids[0];
  const classes = await memoryClasses(pids);
  const chosen = chooseMode(
    {
      requested,
      memoryBytes: totalBytes(classes),
      classes,
      here,
      canLazyThere: target.lazyPages,
      untrackable: await untrackable(pids, !host.criuReadsHeld),
      known,
    },
    blockers,
  );
  if (record.spec.volumes.some((volume) => volume.mode === "sync"))
    warnings.push({ code: "SYNC_VOLUME", message: "a sync volume is copied to the same path on the target", mend: "", subject: workload });
  const { pidsLimit = 0 } = record.spec;
  const tasks = inspected.needs.threadCount ?? 0;
  if (pidsLimit > 0 && tasks > pidsLimit * 0.9)
    warnings.push({
      code: "PIDS_NEARLY_USED",
      message: `it has ${tasks} of the ${pidsLimit} processes and threads that it may have`,
      mend: "Beyond them it is refused new ones. If it needs more, start it anew with a higher --pids.",
      subject: workload,
    });
  const { bytes, count } = await layer();
  if (count > mostFiles)
    blockers.push({
      code: "TOO_MANY_FILES",
      message: `its writable layer has ${count} files and folders; more than ${mostFiles} are not moved`,
      mend: "Keep them on a shared volume, or in fewer, larger files.",
      subject: workload,
    });
  return {
    needs,
    blockers,
    warnings,
    memoryBytes,
    processCount: pids.length,
    tcpEstablished: first === undefined ? 0 : (await tcpTable(first)).established.length,
    fileBytes: bytes,
    chosenMode: chosen.mode,
    modeReason: chosen.reason,
    forecast: chosen.forecast,
  };
}

/**
 * Against a target that can do what this host can: what the workload itself stands in the way of. Asked every half minute, so the files are counted seldom.
 */
export async function inspect(host: Host, workload: string, here: Abilities, sizes: LayerSizes, signal: AbortSignal): Promise<Inspection> {
  const began = performance.now();
  const cpu = process.cpuUsage();
  const question = {
    requested: "auto",
    target: { lazyPages: here.lazyPages },
    here,
    known: {},
    layer: () => sizes.of(workload),
  } as const;
  const report = await preflight(host, workload, question, signal);
  const used = process.cpuUsage(cpu);
  return { report, tookMs: performance.now() - began, cpuMs: (used.user + used.system) / 1000 };
}

/** What a target must reach by name. */
const placesOf = ({ spec, image }: WorkloadRecord): string[] => [
  ...(spec.rootfs === "host" ? [] : [image === undefined ? `rootfs:${spec.rootfs}` : `oci:${image.chainId}`]),
  ...spec.volumes.filter(({ mode }) => mode === "shared").map(({ source }) => `shared:${source}`),
];
