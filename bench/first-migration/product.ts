// The product's side: the same redis as a workload of the local cloud, the same client, moved by the REST API between its two nodes, there and back.
import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { run, sleep, until } from "@aether/kit";
import type { Measured } from "./bare.ts";
import { busySeconds } from "./cpu.ts";
import { readSeen } from "./seen.ts";

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
  const argv = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--appendonly", "no"];
  const made = await call<{ workload: { spec: { address: string } } }>(cloud, "POST", "/api/v2/workloads", {
    spec: { name, rootfs: "host", argv, health: { tcpPort: 6379 } },
    nodeId: "n1",
  });
  const address = made.workload.spec.address;
  await until("redis to answer", 100, 20_000, async () => {
    const asked = await run("redis-cli", ["-h", address, "ping"], { deadlineMs: 5000, okCodes: [0, 1] });
    return asked.stdout.includes("PONG") ? true : undefined;
  });
  const script = "for i=1,tonumber(ARGV[1]) do redis.call('set','k'..i,string.rep('x',1000)..i) end return redis.call('dbsize')";
  await run("redis-cli", ["-h", address, "eval", script, "0", String(Math.max(1, Math.round((memoryMb * 1e6) / 1100)))], {
    deadlineMs: 120_000,
  });
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
  { settleMs = 1500, afterMs = 2500 }: { readonly settleMs?: number; readonly afterMs?: number } = {},
): Promise<Measured> {
  const probe = spawn(process.execPath, [join(import.meta.dirname, "probe.ts"), address], { stdio: ["ignore", "pipe", "inherit"] });
  const seen = readAll(probe);
  try {
    await sleep(settleMs);
    const busy = busySeconds();
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
    await sleep(afterMs);
    probe.kill("SIGTERM");
    const saw = readSeen(await seen);
    const error = saw.error ?? (saw.isAnsweredAfter ? null : "no answer after the move");
    return {
      freezeMs: ended.receipt?.freezeMs ?? Number.NaN,
      gapMs: saw.gapMs,
      totalMs: Date.parse(ended.endedAt ?? "") - Date.parse(ended.createdAt),
      worstAfterMs: saw.worstAfterMs,
      wrongCount: saw.wrongCount,
      error: error ?? (ended.receipt?.isWhole === true ? null : "the receipt is not whole"),
      detail: {
        ...Object.fromEntries((ended.phases ?? []).map((phase) => [phase.name, phase.durationMs ?? 0])),
        "in-no-phase": unseenMs(ended.phases ?? []),
        // Inside the freeze, on both hosts.
        "garbage-collected": (ended.phases ?? []).reduce((sum, { facts }) => sum + Number(facts?.collectedMs ?? 0), 0),
        "forecast-freeze": ended.memory?.forecast?.freezeMs ?? Number.NaN,
        "is-compressed": ended.memory?.transport === "zstd" ? 1 : 0,
        worstSoonAfterMs: saw.worstSoonAfterMs,
        over50MsSoonAfter: saw.over50MsSoonAfter,
        cpuSeconds,
        sentBytes: sentBytes(ended),
        safeMs: ended.receipt?.totalMs ?? Number.NaN,
        linkBytesPerSecond: linkRate(ended),
      },
    };
  } finally {
    probe.kill("SIGKILL");
  }
}

/** Of the time from the cut to the resume, what no phase covers: all hosts of a local cloud have one clock. */
function unseenMs(phases: readonly PhaseJson[]): number {
  const spans = phases.map(({ name, startedAt = "", durationMs = 0 }) => ({
    name,
    fromMs: Date.parse(startedAt),
    toMs: Date.parse(startedAt) + durationMs,
  }));
  const cutMs = spans.find(({ name }) => name === "freeze.network_cut")?.fromMs ?? Number.NaN;
  const resumedMs = spans.find(({ name }) => name === "resume.continue")?.toMs ?? Number.NaN;
  let [seenUntilMs, unseen] = [cutMs, 0];
  for (const { fromMs, toMs } of spans.filter(({ toMs }) => toMs > cutMs).sort((a, b) => a.fromMs - b.fromMs)) {
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

function readAll(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.once("close", () => resolve(text));
  });
}
