// Two hosts on one machine: network namespaces on a bridge, an engine process in each, the test itself as their neighbour and client.
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { readTextIfThere, run, systemClock } from "@aether/kit";
import { openAuthority } from "@aether/kit/identity";

export const specOf = (name: string, address: string, argv: string[], more: object = {}) => ({
  name,
  rootfs: "host",
  argv,
  env: {},
  workingDirectory: "/",
  address,
  volumes: [],
  memoryLimitBytes: 0,
  ...more,
});

export interface EngineHost {
  readonly id: string;
  readonly address: string;
  link: { address: string; port: number };
  call<T = any>(path: string, ...args: unknown[]): Promise<T>;
  /** In memory: images, and criu's cache. */
  readonly memoryDir: string;
  /** The link between the host and its neighbours, as `ip link` and `tc` name it on the neighbours' side. */
  readonly cable: string;
  readonly namespace: string;
  isAlive(): boolean;
  pid(): number | undefined;
  /** SIGKILL; `restart` brings it back on the same state. */
  kill(): Promise<void>;
  restart(env?: Record<string, string>): Promise<void>;
}

export interface Topology {
  readonly a: EngineHost;
  readonly b: EngineHost;
  readonly dir: string;
  close(): Promise<void>;
}

const ip = (...args: string[]) => run("ip", args, { deadlineMs: 10_000 });
const quiet = (...args: string[]) => run("ip", args, { deadlineMs: 10_000, okCodes: [0, 1, 2, 255] });
const root = join(import.meta.dirname, "../../..");

/** Our native program as if it had been built without OpenSSL. @returns a TEST_NATIVE for `restart` */
export async function nativeWithoutTls(dir: string): Promise<string> {
  const path = join(dir, "without-tls");
  const script = `#!/bin/sh\n[ "$1" = features ] && exec echo '{"tls":null}'\nexec ${join(root, "native/build/aether-native")} "$@"\n`;
  await writeFile(path, script, { mode: 0o755 });
  return path;
}

/** Short, since tests wait for them. */
const limits = { silenceMs: 1500, dumpMs: 4000 };

/**
 * @param prefix at most four letters, of the test file's own: names and the third byte of its network come from it
 * @param memory called with the folders of each host, in memory and on disk, before it starts
 * @param before a command that starts each host, e.g. in a mount namespace of its own
 */
export async function openTopology(
  prefix: string,
  net: number,
  tools: Record<string, string> = {},
  memory?: (memoryDir: string, stateDir: string) => Promise<void>,
  before: (id: string) => readonly string[] = () => [],
): Promise<Topology> {
  await requireAlone(prefix);
  await clearLeftovers(prefix);
  const dir = await mkdtemp(`/var/tmp/aether-${prefix}-`);
  await writeFile(join(dir, ownerName), String(process.pid));
  const bridge = `${prefix}br`;
  await quiet("link", "del", bridge);
  // A namespace's devices go some time after its name: by name they go at once.
  for (const host of ["a", "b"]) {
    await quiet("link", "del", `${prefix}v${host}`);
    await quiet("netns", "del", `${prefix}-${host}`);
  }
  await ip("link", "add", bridge, "type", "bridge");
  await ip("addr", "add", `10.${net}.0.1/16`, "dev", bridge);
  await ip("link", "set", bridge, "up");
  const authority = await openAuthority(join(dir, "authority"), { trustDomain: "test.local", clock: systemClock });
  const hosts: EngineHost[] = [];
  for (const [index, host] of ["a", "b"].entries())
    hosts.push(await openHost(dir, prefix, net, host, index, bridge, authority, tools, memory, before));
  const [a, b] = hosts as [EngineHost, EngineHost];
  return {
    a,
    b,
    dir,
    async close() {
      for (const host of hosts) {
        for (const one of await host.call<{ name: string }[]>("list").catch(() => []))
          await host.call("remove", one.name).catch(() => undefined);
        await host.kill();
        await quiet("link", "del", `${prefix}v${host.id}`);
        await quiet("netns", "del", `${prefix}-${host.id}`);
      }
      await quiet("link", "del", bridge);
      for (const host of hosts) await unmount(join(dir, host.id)); // where the test has mounted one of its own
      await rm(dir, { recursive: true, force: true });
      for (const name of await readdir("/dev/shm")) if (name.startsWith(`aether-${prefix}`)) await removeMemory(join("/dev/shm", name));
    },
  };
}

/** Whose hosts they are: their names are the same in each run of a test file. */
const ownerName = "owner.pid";

/** Another run of the same file, perhaps of another clone, must not lose its hosts to this one: its failures would look like the engine's. */
async function requireAlone(prefix: string): Promise<void> {
  for (const name of await readdir("/var/tmp")) {
    if (!name.startsWith(`aether-${prefix}-`)) continue;
    const pid = Number(await readTextIfThere(join("/var/tmp", name, ownerName)));
    const command = await readTextIfThere(`/proc/${pid}/cmdline`); // the pid may be another program's by now
    if (pid !== process.pid && command?.includes("vitest"))
      throw new Error(`process ${pid} runs these tests now, on hosts of the same names`);
  }
}

/** A run that was killed has nobody who unmounts what its workloads stood on. The innermost mount goes first. */
async function clearLeftovers(prefix: string): Promise<void> {
  const places = (await readFile("/proc/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
  for (const place of places.filter((each) => each.startsWith(`/var/tmp/aether-${prefix}-`)).reverse()) await unmount(place);
  for (const name of await readdir("/var/tmp"))
    if (name.startsWith(`aether-${prefix}-`)) await rm(join("/var/tmp", name), { recursive: true, force: true });
}

const unmount = (dir: string) => run("umount", [dir], { deadlineMs: 5000, okCodes: [0, 1, 32] });

async function removeMemory(dir: string): Promise<void> {
  await unmount(dir);
  await rm(dir, { recursive: true, force: true });
}

async function openHost(
  dir: string,
  prefix: string,
  net: number,
  id: string,
  index: number,
  bridge: string,
  authority: Awaited<ReturnType<typeof openAuthority>>,
  tools: Record<string, string>,
  memory?: (memoryDir: string, stateDir: string) => Promise<void>,
  before: (id: string) => readonly string[] = () => [],
): Promise<EngineHost> {
  const namespace = `${prefix}-${id}`;
  const address = `10.${net}.0.${11 + index}`;
  await ip("netns", "add", namespace);
  await ip("link", "add", `${prefix}v${id}`, "type", "veth", "peer", "name", "eth0", "netns", namespace);
  await ip("link", "set", `${prefix}v${id}`, "master", bridge, "up");
  await ip("-n", namespace, "link", "set", "lo", "up");
  await ip("-n", namespace, "addr", "add", `${address}/16`, "dev", "eth0");
  await ip("-n", namespace, "link", "set", "eth0", "up");
  const sysctls = [
    "ip_forward=1",
    "conf.all.rp_filter=0",
    "conf.eth0.rp_filter=0",
    "conf.all.send_redirects=0",
    "conf.eth0.send_redirects=0",
  ];
  await run("nsenter", [`--net=/run/netns/${namespace}`, "sysctl", "-qw", ...sysctls.map((one) => `net.ipv4.${one}`)], {
    deadlineMs: 10_000,
  });
  const identity = await authority.issueMaterial(`spiffe://test.local/node/${id}`, 3_600_000);
  const stateDir = join(dir, id);
  const memoryDir = `/dev/shm/aether-${prefix}${id}-${createHash("sha256").update(stateDir).digest("hex").slice(0, 12)}`;
  await memory?.(memoryDir, stateDir);
  const config = {
    engine: {
      hostId: `${prefix}${id}`,
      stateDir,
      limits,
      snapshotDir: join(dir, "snapshots"),
      hiddenPaths: [join(dir, `${id}.json`), join(dir, "nothing/here")],
      hostInterface: "eth0",
      linkAddress: address,
      linkPort: 0,
      tools: {
        criu: "/opt/aether/criu/bin/criu",
        runc: "/usr/sbin/runc",
        ip: "/usr/sbin/ip",
        nft: "/usr/sbin/nft",
        rsync: "/usr/bin/rsync",
        native: join(root, "native/build/aether-native"),
        bpf: join(root, "native/build/aether-bpf"),
        ...tools,
      },
    },
    identity,
  };
  await mkdir(join(dir, id), { recursive: true });
  const file = join(dir, `${id}.json`);
  await writeFile(file, JSON.stringify(config));

  let child: ChildProcess;
  let counter = 0;
  const waiting = new Map<number, { resolve(value: any): void; reject(cause: unknown): void }>();
  async function start(env: Record<string, string> = {}) {
    const argv = [...before(id), process.execPath, join(import.meta.dirname, "host-process.ts"), file];
    child = spawn("nsenter", [`--net=/run/netns/${namespace}`, ...argv], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, ...env },
    });
    const ready = new Promise<any>((resolve, reject) => waiting.set(0, { resolve, reject }));
    createInterface({ input: child.stdout! }).on("line", (text) => {
      const { id: at, ok, error } = JSON.parse(text);
      const one = waiting.get(at);
      waiting.delete(at);
      if (error) one?.reject(Object.assign(new Error(error.message), { code: error.code, details: error.details }));
      else one?.resolve(ok);
    });
    child.once("exit", () => {
      for (const one of waiting.values()) one.reject(new Error(`host ${id} ended`));
      waiting.clear();
    });
    host.link = await ready;
  }
  const host: EngineHost = {
    id,
    address,
    memoryDir,
    cable: `${prefix}v${id}`,
    namespace,
    isAlive: () => child.exitCode === null && child.signalCode === null,
    pid: () => child.pid,
    link: { address, port: 0 },
    call: (path, ...args) =>
      new Promise((resolve, reject) => {
        const at = ++counter;
        waiting.set(at, { resolve, reject });
        child.stdin?.write(`${JSON.stringify({ id: at, path, args })}\n`, (cause) => cause && reject(cause));
      }),
    kill: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve();
        child.once("exit", () => resolve());
        child.kill("SIGKILL");
      }),
    restart: start,
  };
  await start();
  return host;
}
