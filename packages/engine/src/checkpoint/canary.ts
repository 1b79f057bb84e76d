// What this host can really do: a small container of our own is started, frozen, dumped, killed and restored at boot. A version table would say
// less: kernels and criu break each other in new ways (vDSO layout, TCP options), and only doing it shows that.
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { Fault } from "@aether/contract";
import { run } from "@aether/kit";
import type { CanaryResult, WorkloadSpec } from "../engine.ts";
import type { Host } from "../host.ts";
import { probeTracking } from "../memory/probe.ts";
import { makeNetwork } from "../network/workload-network.ts";
import { removeWorkloadDir, requireRecord } from "../record.ts";
import { freeze, killAll, makeCgroups, signalPid, thaw } from "../runtime/cgroup.ts";
import { mountRootfs, prepareRootfs } from "../runtime/rootfs.ts";
import { destroy, type OwnedRuntime } from "../runtime/runtime.ts";
import { imagesDir } from "../steps/journal.ts";
import { behindPrivateRun, dump, restore } from "./criu.ts";

const pipeMaxBytes = 128 << 20;

const spec: WorkloadSpec = {
  name: "aether-canary",
  rootfs: "host",
  argv: ["sleep", "600"],
  env: {},
  workingDirectory: "/",
  address: "169.254.200.1",
  volumes: [],
  memoryLimitBytes: 0,
};

export async function canary(host: Host, runtime: OwnedRuntime, signal: AbortSignal): Promise<CanaryResult> {
  const images = imagesDir(host, "canary");
  let criuVersion = "";
  let dumpMs = 0;
  let restoreMs = 0;
  try {
    const version = await run(host.options.tools.criu, ["--version"], { deadlineMs: 10_000, signal });
    criuVersion = /Version: (\S+)/.exec(version.stdout)?.[1] ?? "";
    await runtime.remove(spec.name, signal);
    await runtime.start(spec, 1, signal);
    const record = await requireRecord(host, spec.name);
    const noTracking = await probeTracking(host, spec.name, signal);
    for (let round = 0; round < 2; round++) {
      // The first round fills criu's feature cache; the second is what a move will pay.
      await rm(images, { recursive: true, force: true });
      await mkdir(images, { recursive: true, mode: 0o700 });
      await freeze(host, spec.name);
      dumpMs = (await dump(host, record, images, signal)).durationMs;
      if (round === 0) await thaw(host, spec.name);
    }
    await killAll(host, spec.name, signal);
    await destroy(host, spec.name, spec.address, signal);
    await prepareRootfs(host, spec);
    await mountRootfs(host, spec, undefined);
    await makeNetwork(host, spec.name, spec.address);
    await makeCgroups(host, spec.name, 0);
    const began = performance.now();
    const back = await restore(
      host,
      spec,
      images,
      { isLazy: false, stdio: record.stdio ?? { stdout: 0, stderr: 0 }, isLeftStopped: true },
      signal,
    );
    restoreMs = performance.now() - began;
    signalPid(back.pid, "SIGCONT");
    return { isAvailable: true, criuVersion, dumpMs, restoreMs, lazyPages: await hasLazyPages(host, signal), noTracking, reason: "" };
  } catch (caught) {
    return {
      isAvailable: false,
      criuVersion,
      dumpMs,
      restoreMs,
      lazyPages: false,
      noTracking: "the canary failed",
      reason: Fault.from(caught).message,
    };
  } finally {
    await runtime
      .remove(spec.name, AbortSignal.timeout(20_000))
      .catch((caught: unknown) => host.options.log.warn({ err: caught }, "canary.remove"));
    await rm(images, { recursive: true, force: true });
    await removeWorkloadDir(host, spec.name);
  }
}

/**
 * Lazy pages need userfaultfd events, and pipes as large as the memory: for a root without CAP_SYS_RESOURCE two limits bind ("tee: Operation not
 * permitted", after the commit at the worst). They are raised here, and it is said in the log; where that fails, post-copy is not offered.
 */
async function hasLazyPages(host: Host, signal: AbortSignal): Promise<boolean> {
  const [file, ...before] = await behindPrivateRun(host);
  const checked = await run(file, [...before, "check", "--feature", "uffd-noncoop"], { deadlineMs: 10_000, signal, okCodes: [0, 1] });
  if (checked.code !== 0) return false;
  for (const [name, isEnough, wanted] of [
    ["pipe-user-pages-soft", (value: number) => value === 0, 0],
    ["pipe-max-size", (value: number) => value >= pipeMaxBytes, pipeMaxBytes],
  ] as const) {
    const path = `/proc/sys/fs/${name}`;
    if (isEnough(Number(await readFile(path, "utf8")))) continue;
    try {
      await writeFile(path, String(wanted));
      host.options.log.info({ path, value: wanted }, "canary.pipe_limit_raised");
    } catch (caught) {
      host.options.log.warn({ path, err: caught }, "canary.no_lazy_pages");
      return false;
    }
  }
  return true;
}
