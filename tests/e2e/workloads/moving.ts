// A real program on one of two engine hosts, moved there and back while its clients go on. What the tests of this folder share.
import { existsSync } from "node:fs";
import { until } from "@aether/kit";
import { expect } from "vitest";
import { missingForEngine } from "../engine/requirements.ts";
import { type EngineHost, openTopology, specOf, type Topology } from "../engine/topology.ts";

export type Mode = "stop-and-copy" | "post-copy" | "pre-copy";

export interface Workload {
  readonly address: string;
  /** The host that it is on. */
  host(): EngineHost;
  /** To the other host; the manifests of both sides must be equal and no reset may have been sent. */
  move(mode: Mode): Promise<void>;
  /** Five moves, by mode in turn; `between` is awaited before each and after the last. */
  moveFiveTimes(between: () => Promise<unknown>): Promise<void>;
  exec(...argv: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }>;
  remove(): Promise<void>;
}

/** Why a test of this folder cannot run here: the engine's needs, then the program's own. */
export function missingFor(...programs: readonly { readonly path: string; readonly get: string }[]): string | undefined {
  const missing = programs.find(({ path }) => !existsSync(path));
  return missingForEngine() ?? (missing === undefined ? undefined : `${missing.path} is not there (${missing.get})`);
}

/** Two hosts for one test file. @param net the second byte of its network; each file has its own. */
export const openHosts = (prefix: string, net: number): Promise<Topology> => openTopology(prefix, net);

/** Starts `argv` as a workload and waits until `isReady` says so. */
export async function startWorkload(
  hosts: Topology,
  given: { name: string; address: string; argv: string[]; more?: object },
  isReady: () => Promise<boolean>,
): Promise<Workload> {
  const { name, address } = given;
  const spec = specOf(name, address, given.argv, given.more);
  let [here, there] = [hosts.a, hosts.b];
  let epoch = 1;
  await here.call("start", spec, epoch);
  const workload: Workload = {
    address,
    host: () => here,
    async move(mode) {
      const ref = { migrationId: `${name}-${epoch}`, workload: name, epoch };
      const ready = await there.call("prepare", ref, spec, here.id, mode);
      const peer = { nodeId: there.id, address: ready.linkAddress, port: ready.linkPort };
      await here.call("copy", ref, peer, mode);
      const [freeze, restored] = await Promise.all([here.call("freeze", ref, peer, mode), there.call("restore", ref, mode)]);
      const resumed = await there.call("resume", ref);
      if (mode === "post-copy") await there.call("drainPages", ref);
      await here.call("release", ref);
      epoch++;
      [here, there] = [there, here];
      const { images: _, memoryBytes: _m, ...arrived } = restored.manifest;
      expect(arrived).toEqual(
        expect.objectContaining({ filesDigest: freeze.manifest.filesDigest, processDigest: freeze.manifest.processDigest }),
      );
      expect(arrived.tcpConnections).toEqual(freeze.manifest.tcpConnections);
      expect(resumed).toMatchObject({ resetsSent: 0, packetsDropped: 0 });
      if (resumed.kernel.source === "ebpf") expect(resumed.kernel).toMatchObject({ resetsSent: 0 });
    },
    async moveFiveTimes(between) {
      const said = (caught: any) => `${caught.message} ${JSON.stringify(caught.details ?? {})}`;
      for (const mode of ["stop-and-copy", "post-copy", "pre-copy", "stop-and-copy", "pre-copy"] as const) {
        await between();
        await workload.move(mode).catch((cause: unknown) => {
          throw new Error(`${mode} from epoch ${epoch}: ${said(cause)}`, { cause });
        });
      }
      await between();
    },
    exec: (...argv) => here.call("exec", name, argv),
    async remove() {
      await here.call("remove", name);
    },
  };
  try {
    await until(`${name} to be ready`, 50, 20_000, async () => ((await isReady().catch(() => false)) ? true : undefined));
  } catch (caught) {
    const log = await here.call("logs", name).catch(() => "");
    await workload.remove().catch(() => undefined);
    throw new Error(`${name} did not become ready; its output: ${String(log).slice(-2000)}`, { cause: caught });
  }
  return workload;
}
