// podman's own way: `podman container checkpoint` to an archive, `podman container restore` from it, the same redis, on one machine (podman keeps the name and the
// address only there). Why it cannot be done here, where it cannot, is an answer too.
import { mkdtemp, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run, sleep, until } from "@aether/kit";
import type { BareOptions, Measured } from "../first-migration/bare.ts";
import { type Client, startClient } from "../first-migration/client.ts";
import { busySeconds } from "../first-migration/cpu.ts";
import { fillArgv, redisArgv } from "../first-migration/redis.ts";
import { watchedAfterMs } from "../first-migration/waits.ts";

const image = "localhost/aether-bench-redis";
const name = "aether-bench-redis";
// runc raises limits to podman's defaults, which a root without CAP_SYS_RESOURCE may not: limits below one's own are given instead.
const runtime = ["--runtime", "/usr/sbin/runc"];
const limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];

export interface Podman {
  measure(memoryMb: number, options: BareOptions): Promise<Measured>;
}

/** An image of this machine's own redis and the libraries that it needs. Throws with the reason where podman does not work here. @param criu which podman then calls */
export async function openPodman(criu: string): Promise<Podman> {
  const env = { PATH: `${dirname(criu)}:${process.env.PATH ?? ""}` };
  const podman = (args: readonly string[], okCodes = [0]) => run("podman", args, { deadlineMs: 120_000, env, okCodes });
  const dir = await mkdtemp("/var/tmp/aether-podman-");
  try {
    const libraries = (await run("ldd", ["/usr/bin/redis-server"], { deadlineMs: 10_000 })).stdout.match(/\/\S+/g) ?? [];
    const tar = join(dir, "root.tar");
    await run("tar", ["-chf", tar, "/usr/bin/redis-server", ...libraries], { deadlineMs: 60_000 });
    await podman(["import", tar, image]);
    await podman(["rm", "-f", "-i", name]);
    await podman(["run", "--rm", ...runtime, ...limits, image, "/usr/bin/redis-server", "--version"]);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }

  return {
    async measure(memoryMb, options) {
      const work = await mkdtemp("/dev/shm/aether-podman-");
      const archive = join(work, "checkpoint.tar");
      let client: Client | undefined;
      try {
        await podman(["rm", "-f", "-i", name]);
        await podman(["run", "-d", "--name", name, ...runtime, ...limits, "--security-opt", "seccomp=unconfined", image, ...redisArgv]);
        const address = (await podman(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", name])).stdout.trim();
        await until("redis to answer", 100, 20_000, async () =>
          (await run("redis-cli", ["-h", address, "ping"], { deadlineMs: 5000, okCodes: [0, 1] })).stdout.includes("PONG")
            ? true
            : undefined,
        );
        await run("redis-cli", fillArgv(address, memoryMb), { deadlineMs: 120_000 });
        const load = options.beside?.([], address);
        client = startClient(address);
        await sleep(options.settleMs ?? 1500);
        const startedMs = Date.now();
        const busy = busySeconds();
        await podman(["container", "checkpoint", "--tcp-established", "--compress", "none", "--export", archive, name]);
        const stoppedMs = Date.now();
        await podman(["rm", "-f", "-i", name]);
        await podman(["container", "restore", "--tcp-established", ...runtime, "--import", archive]);
        const endedMs = Date.now();
        const cpuSeconds = busySeconds() - busy;
        await sleep(watchedAfterMs + 2 * (endedMs - startedMs));
        const saw = await client.stop({ askedMs: startedMs, cutMs: startedMs, resumedMs: endedMs });
        const wrote = await load?.stop();
        return {
          ...saw,
          freezeMs: endedMs - startedMs,
          totalMs: endedMs - startedMs,
          wrongCount: saw.wrongCount + (wrote?.wrongCount ?? 0),
          error: saw.error ?? wrote?.error ?? null,
          detail: {
            "podman.checkpoint": stoppedMs - startedMs,
            "podman.restore": endedMs - stoppedMs,
            cpuSeconds,
            sentBytes: Number.NaN,
          },
        };
      } finally {
        client?.kill();
        await podman(["rm", "-f", "-i", name], [0, 1, 125]);
        await rm(work, { recursive: true, force: true });
      }
    },
  };
}
