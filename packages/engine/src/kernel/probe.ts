// What this host's kernel takes, found by doing it once: each way of holding packets, and our programs that watch.
import { Fault } from "@aether/contract";
import { silentLogger } from "@aether/kit";
import type { Tools } from "../engine.ts";
import { type HoldHost, type HoldReasons, probeHolds } from "../network/hold.ts";
import { createKernelHelper } from "./helper.ts";

export interface KernelProbe {
  readonly holds: HoldReasons;
  /** Why our programs cannot watch here; undefined: they can. */
  readonly watch: string | undefined;
}

/** Under a second; nothing of it stays. */
export async function probeKernel(host: HoldHost, signal: AbortSignal): Promise<KernelProbe> {
  const watch = await host.helper.ask(["probe"], 10_000).then(
    ({ observe }) => {
      const said = observe as { works: boolean; errno?: number };
      return said.works ? undefined : `the kernel refused the programs (errno ${said.errno})`;
    },
    (caught: unknown) => Fault.from(caught).message,
  );
  return { holds: await probeHolds(host, signal), watch };
}

/** The same without an engine, for a look at a machine. */
export async function probeMachineKernel(tools: Tools, signal: AbortSignal): Promise<KernelProbe> {
  const helper = createKernelHelper(tools.bpf, silentLogger);
  try {
    return await probeKernel({ options: { hostId: "doctor", tools, hostInterface: "lo", log: silentLogger }, helper }, signal);
  } finally {
    helper.stop();
  }
}
