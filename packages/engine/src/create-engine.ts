// Joins the parts, by plain calls. Nothing runs at import.
import { createHash } from "node:crypto";
import { access, constants, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { makePrivateDir, sleep } from "@aether/kit";
import { canary } from "./checkpoint/canary.ts";
import { criuAbilities } from "./checkpoint/criu.ts";
import { endOrphanedCriu } from "./checkpoint/leftovers.ts";
import type { Engine, EngineOptions } from "./engine.ts";
import { removeLeftProbes } from "./files/shared.ts";
import type { Host } from "./host.ts";
import { tidyImages } from "./image/images.ts";
import { createKernelWatch, nothingKnown } from "./kernel/facts.ts";
import { createKernelHelper } from "./kernel/helper.ts";
import { probeKernel } from "./kernel/probe.ts";
import { openLink } from "./link/link.ts";
import { probe } from "./link/probe.ts";
import { createDirtyRate } from "./memory/dirty-rate.ts";
import { helperTls } from "./memory/hand-over.ts";
import { noAbilities } from "./memory/mode.ts";
import { liftThrottle } from "./memory/throttle.ts";
import { endHold } from "./network/hold.ts";
import { createLayerSizes } from "./preflight/layer-sizes.ts";
import { inspect } from "./preflight/preflight.ts";
import { forgetRecord, listRecords } from "./record.ts";
import { emptyDir } from "./runtime/bundle.ts";
import { thaw } from "./runtime/cgroup.ts";
import { layerSize } from "./runtime/rootfs.ts";
import { createRuntime, destroy } from "./runtime/runtime.ts";
import { createSnapshots } from "./snapshot/snapshots.ts";
import { listMigrations, writeMigration } from "./steps/journal.ts";
import { whoFetches } from "./steps/page-fetch.ts";
import { recoverSources } from "./steps/run-again.ts";
import { createSourceSide } from "./steps/source.ts";
import { createTargetSide } from "./steps/target.ts";

/** The parts of a freeze that are not criu: the cut, the commit, the resume; ms. */
const betweenCriuMs = 40;

/** Opens the engine of this host: makes its folders and listens for other engines. Call `recover` before anything else. */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const isTmpfsThere = await access("/dev/shm", constants.W_OK).then(
    () => true,
    () => false,
  );
  // Two hosts on one machine, and two clouds of tests, must not meet: the folder's name comes from the state directory.
  const own = createHash("sha256").update(options.stateDir).digest("hex").slice(0, 12);
  const host: Host = {
    options,
    memoryDir: isTmpfsThere ? `/dev/shm/aether-${options.hostId}-${own}` : join(options.stateDir, "memory"),
    helper: createKernelHelper(options.tools.bpf, options.log),
    ...(await criuAbilities(options.tools.criu)),
    helperTls: await helperTls(options.tools),
  };
  for (const dir of [options.stateDir, options.snapshotDir]) await mkdir(dir, { recursive: true, mode: 0o700 });
  await makePrivateDir(host.memoryDir);
  await mkdir(join(host.memoryDir, "run"), { recursive: true, mode: 0o700 });
  await mkdir(emptyDir(host), { recursive: true, mode: 0o755 }); // a target needs it before it has written a bundle
  const link = await openLink(host);
  const runtime = createRuntime(host);
  const watch = createKernelWatch(host);
  const dirty = createDirtyRate(host);
  let abilities = noAbilities;
  const sizes = createLayerSizes((workload) => layerSize(host, workload));
  const snapshots = createSnapshots(host, () => abilities);
  runtime.onExit(({ name }) => snapshots.endTracking(name, "the workload was started anew"));
  /** For a move: whoever looks at the memory between moves makes room. */
  const moving = {
    ...dirty,
    async hush(workload: string) {
      snapshots.endTracking(workload, "it was moved, or a move was tried");
      await dirty.hush(workload);
    },
  };

  return {
    runtime: {
      ...runtime,
      async stop(name, ...rest) {
        snapshots.endTracking(name, "the workload was started anew");
        return runtime.stop(name, ...rest);
      },
      async remove(name, signal) {
        snapshots.endTracking(name, "the workload was started anew");
        return runtime.remove(name, signal);
      },
    },
    source: createSourceSide(host, link, watch, moving, () => abilities),
    target: createTargetSide(host, link, watch),
    snapshots: {
      ...snapshots,
      async create(workload, ...rest) {
        await dirty.hush(workload);
        return snapshots.create(workload, ...rest).finally(() => dirty.speak(workload));
      },
    },
    kernel: {
      probe: (signal) => probeKernel(host, signal),
      facts: async (workload) => (await watch.facts(workload)) ?? nothingKnown,
      ask: (...words) => host.helper.ask(words),
      dirtyRate: async (workload, signal) =>
        snapshots.isTracked(workload) ? snapshots.dirtyRate(workload, signal) : dirty.measure(workload, signal),
    },
    async canary(signal) {
      let result = await canary(host, runtime, signal);
      // A machine under load (boot) may miss a deadline once: a node that can move workloads must not be written off for that.
      if (!result.isAvailable) {
        await sleep(2000, signal);
        result = await canary(host, runtime, signal);
      }
      abilities = {
        criuVersion: result.criuVersion,
        lazyPages: result.isAvailable && result.lazyPages,
        noTracking: result.noTracking,
        costs: {
          ...noAbilities.costs,
          fixedMs: result.isAvailable ? result.dumpMs + result.restoreMs + betweenCriuMs : noAbilities.costs.fixedMs,
        },
      };
      return result;
    },
    inspect: (workload, signal) => inspect(host, workload, abilities, sizes, signal),
    link: { address: link.address, port: link.port },
    probe: (peer, signal) => probe(link, peer, signal),
    async recover(signal) {
      // Post-copy: their pages are on the source until the target has drained them, whatever becomes of either agent.
      const needed = (await listMigrations(host)).filter(({ stage }) => ["frozen", "restored", "resumed"].includes(stage));
      await endOrphanedCriu(host, { needed: needed.map((one) => one.migrationId) });
      await recoverSources(host);
      snapshots.recover();
      await removeLeftProbes(host);
      for (const migration of await listMigrations(host)) {
        // A hold whose pipe we lost would open by itself; what was only prepared is of no use without its session.
        if (migration.stage !== "restored") await endHold(host, migration.workload, migration);
        if (migration.side === "target" && ["preparing", "prepared", "restoring"].includes(migration.stage))
          await writeMigration(host, { ...migration, stage: "aborted" });
      }
      const open = new Set<string>();
      for (const { stage, migrationId, pagesPid } of await listMigrations(host)) {
        const isFetching = stage === "resumed" && pagesPid !== undefined && (await whoFetches(host, migrationId, pagesPid)) !== undefined;
        if (stage === "frozen" || stage === "restored" || isFetching) open.add(migrationId);
      }
      const records = await listRecords(host);
      const images = records.flatMap(({ image }) => (image === undefined ? [] : [image.chainId]));
      await tidyImages(host, new Set(images), Date.now());
      for (const record of records) {
        if (record.phase === "starting" || record.phase === "prepared") {
          await destroy(host, record.spec.name, record.spec.address, signal);
          await forgetRecord(host, record.spec.name);
        }
      }
      for (const { spec } of records) await liftThrottle(host, spec.name);
      // Killed in the middle of a snapshot: the workload was stopped for it and nobody else would let it go on.
      for (const record of records) if (record.phase === "running") await thaw(host, record.spec.name);
      for (const name of await readdir(host.memoryDir))
        if (!["run", "hidden", "empty"].includes(name) && !open.has(name))
          await rm(join(host.memoryDir, name), { recursive: true, force: true });
    },
    async stop() {
      runtime.stopWatching();
      snapshots.stop();
      await link.stop();
      host.helper.stop();
    },
  };
}
