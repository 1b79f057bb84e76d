// A local cloud whose daemons can be made to fail at named points while they run, and eyes that see what is really on the machine.
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "@aether/kit";
import { freePort } from "../free-port.ts";
import { bin } from "../local-cloud.ts";

const prefix = "ec";
const subnet = "10.79.0.0/16";
export const demo = { address: "10.79.1.1", port: 6379 };

/** As REST says it, of what these tests look at. */
export interface Migration {
  readonly id: string;
  readonly state: string;
  readonly sourceNodeId: string;
  readonly targetNodeId: string;
  readonly endedAt?: string;
  readonly receipt?: { readonly isWhole?: boolean };
  readonly error?: { readonly code: string; readonly message: string };
}

export interface ChaosCloud {
  readonly dir: string;
  /** Where faults are armed, a directory a daemon. */
  readonly live: string;
  /** REST with the admin's token, of this control plane (default: the cloud's own); undefined while it is away. */
  call<T>(method: string, path: string, body?: object, port?: number): Promise<{ status: number; body: T } | undefined>;
  /** The point fires once in that daemon ("core", "agent-n1"), whenever it is next passed. */
  arm(daemon: string, point: string, action: string): Promise<void>;
  /** True while it has not fired. */
  isArmed(daemon: string, point: string): boolean;
  disarmAll(): Promise<void>;
  /** Nothing passes between this node and anybody, for so long. */
  cut(node: string, ms: number): Promise<void>;
  /** That daemon stands still until the answer is called, its sockets open: what a partition looks like to those who wait for it. */
  standStill(daemon: string): Promise<() => void>;
  /** The metadata service of this node announces its termination, or withdraws it. */
  announce(node: string, afterSeconds: number): Promise<void>;
  withdraw(node: string): Promise<void>;
  /** Nodes on which processes of the workload exist, running or stopped. */
  holders(workload: string): Promise<{ node: string; isStopped: boolean }[]>;
  log(daemon: string): string;
  stop(): Promise<void>;
}

/** @param environment for its daemons, beside this process's own. @param more names of daemons that are started beside it. */
export async function startChaosCloud(environment: Record<string, string> = {}, more: readonly string[] = []): Promise<ChaosCloud> {
  const dir = await mkdtemp(join(tmpdir(), "aether-chaos-"));
  const live = join(dir, "faults");
  for (const daemon of ["core", "agent-n1", "agent-n2", ...more]) await mkdir(join(live, daemon), { recursive: true });
  const port = await freePort();
  const aether = (...args: string[]) =>
    new Promise<{ code: number; err: string }>((resolve) => {
      const env = { ...process.env, ...environment, AETHER_DIR: join(dir, "cloud"), AETHER_FAULTS_LIVE: live };
      execFile(process.execPath, [bin, ...args], { env, timeout: 150_000 }, (failure, _out, err) =>
        resolve({ code: failure === null ? 0 : typeof failure.code === "number" ? failure.code : -1, err }),
      );
    });
  const up = await aether("up", "--detach", "--json", "--prefix", prefix, "--subnet", subnet, "--port", String(port), "--nodes", "2");
  if (up.code !== 0) {
    await aether("down", "--prefix", prefix);
    throw new Error(`the cloud did not come up: ${up.err}`);
  }
  const lab = (method: string, path: string, body?: object) =>
    new Promise<void>((resolve, reject) => {
      const asked = request({ socketPath: join(dir, "cloud", "run", "lab.sock"), method, path }, (response) => {
        response.resume();
        response.on("end", () =>
          response.statusCode === 200 ? resolve() : reject(new Error(`${method} ${path}: ${response.statusCode}`)),
        );
      });
      asked.on("error", reject);
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const { token } = JSON.parse(await readFile(join(dir, "cloud", "cli.json"), "utf8")) as { token: string };

  return {
    dir: join(dir, "cloud"),
    live,
    async call(method, path, body, at = port) {
      const response = await fetch(`http://127.0.0.1:${at}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(10_000),
      }).catch(() => undefined);
      if (response === undefined) return undefined;
      return { status: response.status, body: (await response.json().catch(() => undefined)) as never };
    },
    arm: (daemon, point, action) => writeFile(join(live, daemon, point), action),
    isArmed: (daemon, point) => existsSync(join(live, daemon, point)),
    async disarmAll() {
      for (const daemon of readdirSync(live)) for (const point of readdirSync(join(live, daemon))) await rm(join(live, daemon, point));
    },
    async cut(node, ms) {
      const rules =
        "table inet chaos { chain in { type filter hook prerouting priority -300; iif != lo drop; }; chain out { type filter hook output priority -300; oif != lo drop; }; }";
      const inside = (...args: string[]) => run("nsenter", [`--net=/run/netns/${prefix}-${node}`, "nft", ...args], { deadlineMs: 10_000 });
      await inside(rules.startsWith("table") ? `add ${rules}` : rules);
      await new Promise((resolve) => setTimeout(resolve, ms));
      await inside("delete table inet chaos");
    },
    async standStill(daemon) {
      const { processes } = JSON.parse(await readFile(join(dir, "cloud", "cloud.json"), "utf8")) as {
        processes: Record<string, { pid: number }>;
      };
      const pid = processes[daemon]?.pid;
      if (pid === undefined) throw new Error(`there is no ${daemon}`);
      process.kill(pid, "SIGSTOP");
      return () => process.kill(pid, "SIGCONT");
    },
    announce: (node, afterSeconds) => lab("POST", "/interruptions", { nodeId: node, kind: "notice", afterSeconds }),
    withdraw: (node) => lab("DELETE", `/interruptions/${node}`),
    async holders(workload) {
      const found = new Map<string, string[]>();
      for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
        try {
          const node = new RegExp(`ae-${prefix}-(n\\d+)-${workload}\\b`).exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1];
          const state = /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "?";
          if (node !== undefined && state !== "Z" && state !== "X")
            found.set(node, [...(found.get(node) ?? []), `${state}${isFrozen(pid) ? "F" : ""}`]);
        } catch {
          // it ended while it was looked at
        }
      }
      return [...found].map(([node, states]) => ({ node, isStopped: states.every((state) => /[TtF]/.test(state)) }));
    },
    log: (daemon) => {
      const file = join(dir, "cloud", "logs", `${daemon}.log`);
      return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(-40).join("\n") : "";
    },
    async stop() {
      const down = await aether("down", "--prefix", prefix);
      if (process.env.AETHER_CHAOS_KEEP === undefined) await rm(dir, { recursive: true, force: true });
      if (down.code !== 0) throw new Error(down.err);
    },
  };
}

/** By the freezer of cgroup v1 or v2. */
function isFrozen(pid: string): boolean {
  const groups = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
  for (const line of groups) {
    const [, controllers, path] = line.split(":");
    if (path === undefined) continue;
    for (const file of [
      `/sys/fs/cgroup/freezer${path}/freezer.state`,
      `/sys/fs/cgroup${path}/cgroup.freeze`,
      `/sys/fs/cgroup/unified${path}/cgroup.freeze`,
    ]) {
      if (controllers !== "freezer" && controllers !== "") continue;
      if (existsSync(file) && /^(FROZEN|FREEZING|1)/.test(readFileSync(file, "utf8"))) return true;
    }
  }
  return false;
}
