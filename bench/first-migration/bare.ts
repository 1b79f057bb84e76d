// The baseline: what a careful person's script does with criu alone. `criu dump --tcp-established` of a redis in a network namespace, images on a tmpfs,
// `criu restore` in the other host's namespace, then the route. No hold, no copy ahead, no verification, no rollback.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { killGroup, run, sleep, until } from "@aether/kit";
import { type Client, type Seen, startClient } from "./client.ts";
import { busySeconds } from "./cpu.ts";
import { type Hosts, workloadAddress } from "./hosts.ts";
import { fillArgv, redisArgv } from "./redis.ts";
import { watchedAfterMs } from "./waits.ts";

/** One move: what it took, and what the client saw of it. */
export interface Measured extends Seen {
  readonly freezeMs: number;
  readonly totalMs: number;
  readonly detail: Readonly<Record<string, number>>;
}

export interface BareOptions {
  /** criu's lazy pages instead of a whole dump. */
  readonly isLazy?: boolean;
  /** Begins when the redis is filled; what it answers ends it. */
  readonly beside?: (enter: readonly string[], address: string) => { stop(): Promise<{ wrongCount: number; error: string | null }> };
  /** The client is watched for so long before the move, ms. */
  readonly settleMs?: number;
}

export async function measureBare(hosts: Hosts, criu: string, memoryMb: number, options: BareOptions = {}): Promise<Measured> {
  const dir = await mkdtemp("/dev/shm/aether-bare-");
  const images = join(dir, "images");
  await run("mkdir", [images], { deadlineMs: 5000 });
  let holder: ChildProcess | undefined;
  let client: Client | undefined;
  const pids: number[] = [];
  const daemons: ChildProcess[] = [];
  try {
    await hosts.lead("source");
    await hosts.ip("-n", hosts.names.source, "link", "set", "wl0", "up");
    const redis = [...redisArgv, "--dir", dir, "--logfile", "/dev/null"];
    const [enter, ...enterArgs] = hosts.in("sourcePod");
    let pid = 0;
    // The redis of the sample before may still be giving back its memory, and have the port till then: the new one ends at once.
    for (let attempt = 0; pid === 0 && attempt < 10; attempt++) {
      holder = spawn(enter ?? "", [...enterArgs, "unshare", "--pid", "--fork", "setsid", ...redis], { stdio: "ignore", detached: true });
      await sleep(700);
      pid = Number((await run("pgrep", ["-P", String(holder.pid)], { deadlineMs: 5000, okCodes: [0, 1] })).stdout.trim());
    }
    if (pid === 0) throw new Error("redis-server does not start");
    pids.push(pid);
    const [cli = "", ...cliArgs] = [...hosts.in("client"), "redis-cli", ...fillArgv(workloadAddress, memoryMb)];
    await run(cli, cliArgs, { deadlineMs: 120_000 });
    const load = options.beside?.(hosts.in("client"), workloadAddress);
    client = startClient(workloadAddress, hosts.in("client"));
    await sleep(options.settleMs ?? 1500);
    const namespaceInode = (await stat(`/run/netns/${hosts.names.sourcePod}`)).ino;
    const common = ["-D", images, "-v1", "--tcp-established", "--shell-job", "--network-lock", "skip"];
    const startedMs = Date.now();
    const busy = busySeconds();
    // Without this cut the frozen source's kernel goes on retransmitting and the client's connection is reset or stalls (seen in every run).
    await hosts.cut();
    const dump = ["dump", "-t", String(pid), ...common, "-o", "dump.log", "--external", `net[${namespaceInode}]:pod`];
    if (options.isLazy === true) daemons.push(...(await dumpLazily(criu, dump, images)));
    else await run(criu, dump, { deadlineMs: 60_000 });
    const dumpedMs = Date.now();
    // The shell opens the namespace as fd 9: --inherit-fd takes a number that criu must find open.
    const restore = `exec 9</run/netns/${hosts.names.targetPod}; exec "$@" --inherit-fd 'fd[9]:pod'`;
    await run(
      "bash",
      [
        "-c",
        restore,
        "restore",
        criu,
        "restore",
        ...common,
        "-o",
        "restore.log",
        "-d",
        "--pidfile",
        join(dir, "pid"),
        ...(options.isLazy === true ? ["--lazy-pages"] : []),
      ],
      {
        deadlineMs: 60_000,
      },
    );
    const restoredMs = Date.now();
    pids.push(Number(await readFile(join(dir, "pid"), "utf8")));
    await hosts.lead("target");
    const endedMs = Date.now();
    const cpuSeconds = busySeconds() - busy;
    await sleep(watchedAfterMs + 2 * (endedMs - startedMs)); // the client backs off while its packets are dropped
    const saw = await client.stop({ askedMs: startedMs, cutMs: startedMs, resumedMs: endedMs });
    const wrote = await load?.stop();
    return {
      ...saw,
      freezeMs: restoredMs - startedMs,
      totalMs: endedMs - startedMs,
      wrongCount: saw.wrongCount + (wrote?.wrongCount ?? 0),
      error: saw.error ?? wrote?.error ?? null,
      detail: {
        dumpMs: dumpedMs - startedMs,
        restoreMs: restoredMs - dumpedMs,
        cpuSeconds,
        sentBytes: options.isLazy === true ? memoryMb * 1e6 : await bytesIn(images),
      },
    };
  } finally {
    client?.kill();
    for (const pid of pids) await run("kill", ["-KILL", String(pid)], { deadlineMs: 5000, okCodes: [0, 1] });
    if (holder !== undefined) killGroup(holder);
    for (const daemon of daemons) killGroup(daemon);
    await rm(dir, { recursive: true, force: true });
  }
}

/** criu's page server and lazy-pages daemon; both go on until every page has come. */
async function dumpLazily(criu: string, dump: readonly string[], images: string): Promise<ChildProcess[]> {
  const server = ["--lazy-pages", "--address", "127.0.0.1", "--port", "27981"];
  const source = spawn(criu, [...dump, "--leave-stopped", ...server, "--status-fd", "3"], {
    stdio: ["ignore", "ignore", "inherit", "pipe"],
    detached: true,
  });
  await new Promise<void>((resolve, reject) => {
    source.stdio[3]?.once("data", () => resolve());
    source.once("exit", (code) => reject(new Error(`criu dump --lazy-pages ended with code ${code}`)));
  });
  const target = spawn(criu, ["lazy-pages", "-D", images, "-o", "lazy.log", "--page-server", "--address", "127.0.0.1", "--port", "27981"], {
    stdio: "ignore",
    detached: true,
  });
  await until("lazy-pages to listen", 1, 10_000, () =>
    stat(join(images, "lazy-pages.socket")).then(
      () => true,
      () => undefined,
    ),
  );
  return [source, target];
}

async function bytesIn(dir: string): Promise<number> {
  let total = 0;
  for (const name of await readdir(dir)) total += (await stat(join(dir, name))).size;
  return total;
}
