// The product's side: the same redis as a workload of the local cloud, the same client, moved by the REST API between its two nodes, there and back.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { run, sleep, until } from "@aether/kit";
import type { Measured } from "./bare.ts";
import { startClient } from "./client.ts";
import { busySeconds } from "./cpu.ts";
import { fillArgv, redisArgv } from "./redis.ts";
import { watchedAfterMs } from "./waits.ts";

interface Cloud {
  readonly url: string;
  readonly token: string;
}

interface PhaseJson {
  readonly name: string;
  readonly startedAt?: string;
  readonly durationMs?: number;
  readonly facts?: { readonly collectedMs?: string };
}

interface MigrationJson {
  readonly id: string;
  readonly state: string;
  readonly mode: string;
  readonly createdAt: string;
  readonly endedAt?: string;
  readonly error?: { readonly code: string; readonly message: string };
  readonly memory?: {
    readonly transport?: string;
    readonly forecast?: { readonly freezeMs?: number };
    readonly rounds?: readonly { readonly sentBytes?: string; readonly durationMs?: number }[];
  };
  readonly phases?: readonly PhaseJson[];
  readonly receipt?: {
    readonly freezeMs?: number;
    readonly totalMs?: number;
    readonly isWhole?: boolean;
    readonly leftSource?: { readonly images?: readonly { readonly name: string; readonly bytes?: string }[] };
    readonly network?: { readonly resetsSent?: number; readonly packetsHeld?: number };
  };
}

async function call<T>(cloud: Cloud, method: string, path: string, body?: unknown): Promise<T> {
  const answer = await fetch(`${cloud.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${cloud.token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text.slice(0, 500)}`);
  return JSON.parse(text) as T;
}

/** Reads where the local cloud in `dir` answers. */
export async function openCloud(dir: string): Promise<Cloud> {
  return JSON.parse(await readFile(join(dir, "cli.json"), "utf8")) as Cloud;
}

/** Runs a redis of this size on n1; answers its address. */
export async function startRedis(cloud: Cloud, name: string, memoryMb: number): Promise<string> {
  const made = await call<{ workload: { spec: { address: string } } }>(cloud, "POST", "/api/v2/workloads", {
    spec: { name, rootfs: "host", argv: redisArgv, health: { tcpPort: 6379 } },
    nodeId: "n1",
  });
  const address = made.workload.spec.address;
  await until("redis to answer", 100, 20_000, async () => {
    const asked = await run("redis-cli", ["-h", address, "ping"], { deadlineMs: 5000, okCodes: [0, 1] });
    return asked.stdout.includes("PONG") ? true : undefined;
  });
  await run("redis-cli", fillArgv(address, memoryMb), { deadlineMs: 120_000 });
  return address;
}

export async function removeWorkload(cloud: Cloud, name: string): Promise<void> {
  await call(cloud, "DELETE", `/api/v2/workloads/${name}?force=true`);
}

/** One move to `target` in `mode`, under the closed-loop client. */
export async function measureMove(
  cloud: Cloud,
  name: string,
  address: string,
  target: string,
  mode: string,
  { settleMs = 1500 }: { readonly settleMs?: number } = {},
): Promise<Measured> {
  const client = startClient(address);
  try {
    await sleep(settleMs);
    const busy = busySeconds();
    const askedMs = Date.now();
    const started = await call<{ migration: MigrationJson }>(cloud, "POST", `/api/v2/workloads/${name}:migrate`, {
      targetNodeId: target,
      mode,
    });
    const ended = await until("the migration to end", 100, 120_000, async () => {
      const { migration } = await call<{ migration: MigrationJson }>(cloud, "GET", `/api/v2/migrations/${started.migration.id}`);
      return migration.endedAt === undefined ? undefined : migration;
    });
    if (ended.state !== "MIGRATION_STATE_DONE")
      throw new Error(`${ended.id} ended as ${ended.state}: ${ended.error?.code ?? ""} ${ended.error?.message ?? ""}`);
    const cpuSeconds = busySeconds() - busy;
    const frozen = freezeOf(ended.phases ?? []);
    if (frozen === undefined) throw new Error(`${ended.id} has no phases from its cut to its resume`);
    // What was asked last in that time is answered too.
    await sleep(Math.max(0, frozen.resumedMs + watchedAfterMs + 200 - Date.now()));
    const saw = await client.stop({ askedMs, ...frozen });
    return {
      ...saw,
      freezeMs: ended.receipt?.freezeMs ?? Number.NaN,
      totalMs: Date.parse(ended.endedAt ?? "") - Date.parse(ended.createdAt),
      error: saw.error ?? (ended.receipt?.isWhole === true ? null : "the receipt is not whole"),
      detail: {
        ...Object.fromEntries((ended.phases ?? []).map((phase) => [phase.name, phase.durationMs ?? 0])),
        "in-no-phase": unseenMs(ended.phases ?? [], frozen),
        // Inside the freeze, on both hosts.
        "garbage-collected": (ended.phases ?? []).reduce((sum, { facts }) => sum + Number(facts?.collectedMs ?? 0), 0),
        "forecast-freeze": ended.memory?.forecast?.freezeMs ?? Number.NaN,
        "is-compressed": ended.memory?.transport === "zstd" ? 1 : 0,
        cpuSeconds,
        sentBytes: sentBytes(ended),
        safeMs: ended.receipt?.totalMs ?? Number.NaN,
        linkBytesPerSecond: linkRate(ended),
      },
    };
  } finally {
    client.kill();
  }
}

interface Freeze {
  readonly cutMs: number;
  readonly resumedMs: number;
}

const spansOf = (phases: readonly PhaseJson[]) =>
  phases.map(({ name, startedAt = "", durationMs = 0 }) => ({
    name,
    fromMs: Date.parse(startedAt),
    toMs: Date.parse(startedAt) + durationMs,
  }));

/** From the cut to the resume: all hosts of a local cloud have one clock. */
function freezeOf(phases: readonly PhaseJson[]): Freeze | undefined {
  const spans = spansOf(phases);
  const cut = spans.find(({ name }) => name === "freeze.network_cut");
  const resumed = spans.find(({ name }) => name === "resume.continue");
  return cut === undefined || resumed === undefined ? undefined : { cutMs: cut.fromMs, resumedMs: resumed.toMs };
}

/** Of the time from the cut to the resume, what no phase covers. */
function unseenMs(phases: readonly PhaseJson[], { cutMs, resumedMs }: Freeze): number {
  let [seenUntilMs, unseen] = [cutMs, 0];
  for (const { fromMs, toMs } of spansOf(phases)
    .filter(({ toMs }) => toMs > cutMs)
    .sort((a, b) => a.fromMs - b.fromMs)) {
    unseen += Math.max(0, Math.min(fromMs, resumedMs) - seenUntilMs);
    seenUntilMs = Math.max(seenUntilMs, toMs);
  }
  return unseen;
}

/** Memory of every pass, and the images but for what stands for that memory. */
function sentBytes({ memory, receipt }: MigrationJson): number {
  const images = (receipt?.leftSource?.images ?? []).filter((image) => !image.name.startsWith("memory-"));
  return [...(memory?.rounds ?? []).map((round) => round.sentBytes ?? 0), ...images.map((image) => image.bytes ?? 0)].reduce<number>(
    (sum, one) => sum + Number(one),
    0,
  );
}

/** Of the largest pass; NaN where nothing was copied ahead. */
function linkRate({ memory }: MigrationJson): number {
  const [largest] = [...(memory?.rounds ?? [])].sort((a, b) => Number(b.sentBytes ?? 0) - Number(a.sentBytes ?? 0));
  return largest === undefined ? Number.NaN : (Number(largest.sentBytes ?? 0) / (largest.durationMs ?? Number.NaN)) * 1000;
}
