// The checks of `aether doctor` for one target: the machine's (from the agent), the local cloud's, ports, and the way to core.
import { createServer } from "node:net";
import type { Check, CheckResult } from "@aether/kit";
import { cloudNeeds, isSupervised, readRecord } from "@aether/lab";
import { findCore } from "./client.ts";
import { machineChecks, type Target } from "./machine-checks.ts";
import type { CommonOptions, Context } from "./options.ts";

export interface DoctorOptions extends CommonOptions {
  readonly target: Target;
  readonly port: number;
}

export async function doctorChecks(context: Context, options: DoctorOptions): Promise<Check[]> {
  const dir = await context.dir();
  const runtime: Check = {
    name: "node-runtime",
    title: "Node.js",
    why: "Everything runs on it; older ones lack what the code needs.",
    run: async () => {
      const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
      return major > 22 || (major === 22 && minor >= 18)
        ? { status: "ok", detail: process.versions.node }
        : { status: "fail", detail: process.versions.node, mend: "Install Node 24, or use the one that npm ci brings." };
    },
  };
  const machine = await machineChecks(options.target, dir);
  switch (options.target) {
    case "local":
      return [runtime, ...cloudNeeds(), ...unique(machine, cloudNeeds()), portCheck(options.port, dir), localCore(dir, options)];
    case "core":
      return [runtime, portCheck(options.port, dir), localCore(dir, options)];
    case "agent":
      return [runtime, ...machine];
    case "docker":
      return [runtime, ...machine, containerCheck];
  }
}

const unique = (checks: readonly Check[], but: readonly Check[]) =>
  checks.filter((check) => !but.some((other) => other.name === check.name));

function portCheck(port: number, dir: string): Check {
  return {
    name: "port",
    title: `port ${port}`,
    why: "The page and the API are served there.",
    run: async () => {
      const record = await readRecord(dir);
      if (record !== undefined && isSupervised(record) && record.url.endsWith(`:${port}`))
        return { status: "ok", detail: "held by the cloud that runs" };
      const problem = await new Promise<Error | undefined>((resolve) => {
        const probe = createServer();
        probe.once("error", resolve);
        probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(undefined)));
      });
      return problem === undefined
        ? { status: "ok", detail: "free" }
        : { status: "warn", detail: problem.message, mend: "Stop what holds it, or choose another: aether up --port 3001" };
    },
  };
}

/** Not running is no fault; running and not answering is one. */
function localCore(dir: string, options: CommonOptions): Check {
  return {
    name: "core",
    title: "core",
    why: "Every other command asks it.",
    async run(signal): Promise<CheckResult> {
      const isNamed = options.url !== undefined || process.env.AETHER_URL !== undefined;
      const address = await findCore(options, dir).catch((caught: unknown) => {
        if (isNamed) throw caught;
        return undefined;
      });
      if (address === undefined) return { status: "ok", detail: "none runs here; `aether up` starts one" };
      const mend = "Start it (`aether up`), or look into its log.";
      const answer = await fetch(`${address.url}/readyz`, { signal: AbortSignal.any([signal, AbortSignal.timeout(5_000)]) }).catch(
        () => undefined,
      );
      if (answer === undefined) return { status: "fail", detail: `${address.url} does not answer`, mend };
      const skew = clockSkewMs(answer.headers.get("date"));
      if (!answer.ok) return { status: "fail", detail: `${address.url} is not ready: ${(await answer.text()).slice(0, 300)}`, mend };
      if (Math.abs(skew) > 5_000) {
        return {
          status: "warn",
          detail: `its clock differs from ours by ${Math.round(skew / 1000)} s`,
          mend: "Let both keep time by NTP (chrony).",
        };
      }
      return { status: "ok", detail: `${address.url} is ready` };
    },
  };
}

/** The Date header has whole seconds. */
function clockSkewMs(header: string | null): number {
  const theirs = header === null ? Number.NaN : Date.parse(header);
  return Number.isNaN(theirs) ? 0 : theirs - Date.now();
}

const containerCheck: Check = {
  name: "container-cgroup",
  title: "cgroups in the container",
  why: "An agent in a container makes cgroups for its workloads: the host's hierarchy must be writable there.",
  async run() {
    const { access, constants } = await import("node:fs/promises");
    const isWritable = await access("/sys/fs/cgroup", constants.W_OK).then(
      () => true,
      () => false,
    );
    return isWritable
      ? { status: "ok", detail: "/sys/fs/cgroup is writable" }
      : {
          status: "fail",
          detail: "/sys/fs/cgroup is read-only",
          mend: "docker run --privileged --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:rw",
        };
  },
};
