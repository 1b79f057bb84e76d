// What this node knows of its workloads at any moment: phase from the engine, usage from samples, health from checks. Kept fresh by itself,
// read by Hello and heartbeats, and every change of phase or health is told at once. The health check of a workload is on disk beside the
// engine's state, so that it goes on after a restart.
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Fault, fault } from "@aether/contract";
import type { WorkloadStatusSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { type HealthCheck, HealthCheckSchema, HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import type { Runtime, WorkloadStatus, WorkloadUsage } from "@aether/engine";
import { type Clock, type Logger, readTextIfThere, type Stoppable, sleep, systemClock, writeFileAtomic } from "@aether/kit";
import { fromJsonString, type MessageInitShape, toJsonString } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { checkHealth, type HealthAnswer } from "./health-check.ts";

export type StatusReport = MessageInitShape<typeof WorkloadStatusSchema>;

export interface BoardOptions {
  readonly runtime: Runtime;
  readonly stateDir: string;
  readonly log: Logger;
  /** Called with each change of phase or health. */
  onChange(report: StatusReport): void;
  readonly clock?: Clock;
  readonly pace?: Partial<Pace>;
}

/**
 * How often, ms. A connection to a workload costs this process about 4 ms, most of it in the kernel, and a program inside it a hundred times
 * that; so what passes is looked at seldom, and looked at again soon when it did not.
 */
export interface Pace {
  readonly sampleMs: number;
  readonly networkCheckMs: number;
  readonly execCheckMs: number;
  /** After a check that did not pass. */
  readonly recheckMs: number;
  readonly checkDeadlineMs: number;
  /** So many failures in a row make a passing workload fail; one pass heals it. */
  readonly failuresToFail: number;
}

const defaultPace: Pace = {
  sampleMs: 5_000,
  networkCheckMs: 5_000,
  execCheckMs: 15_000,
  recheckMs: 1_000,
  checkDeadlineMs: 2_000,
  failuresToFail: 3,
};

export interface Board extends Stoppable {
  reports(): StatusReport[];
  /** Asks the engine anew and tells what changed. */
  refresh(): Promise<void>;
  /** What `name` is checked by from now on; on disk when it returns. */
  setHealthCheck(name: string, check: HealthCheck | undefined): Promise<void>;
  forget(name: string): Promise<void>;
  /** No check touches the workload until the answer is called: a checkpoint must not find our own connections. A check under way is ended. */
  hush(name: string): () => void;
  /** Checks until it passes, at most `withinMs`. UNKNOWN when the workload has no check. */
  untilHealthy(name: string, withinMs: number, signal: AbortSignal): Promise<{ health: HealthState; detail: string }>;
}

interface Entry {
  status: WorkloadStatus;
  usage: (WorkloadUsage & { readonly measuredAtMs: number }) | undefined;
  health: HealthState;
  failures: number;
  nextCheckAtMs: number;
  checking: AbortController | undefined;
}

/** Reads the engine's workloads and begins to watch them. */
export async function startBoard(options: BoardOptions): Promise<Board> {
  const { runtime, log } = options;
  const clock = options.clock ?? systemClock;
  const pace: Pace = { ...defaultPace, ...options.pace };
  const dir = join(options.stateDir, "health");
  const entries = new Map<string, Entry>();
  const checks = new Map<string, HealthCheck>(await readChecks(dir, log));
  const hushed = new Map<string, number>();
  const stopping = new AbortController();

  const reportOf = ({ status, usage, health }: Entry): StatusReport => ({
    name: status.name,
    epoch: BigInt(status.epoch),
    phase: status.phase,
    health,
    exitCode: status.exitCode ?? 0,
    migrationId: status.migrationId ?? "",
    ...(usage && {
      usage: {
        memoryBytes: BigInt(Math.round(usage.memoryBytes)),
        cpuFraction: usage.cpuFraction,
        processCount: usage.processCount,
        tcpEstablished: usage.tcpEstablished,
        measuredAt: timestampFromMs(usage.measuredAtMs),
      },
    }),
  });

  function see(status: WorkloadStatus): void {
    const before = entries.get(status.name);
    const isSame =
      before?.status.phase === status.phase && before.status.epoch === status.epoch && before.status.migrationId === status.migrationId;
    const entry: Entry = before ?? {
      status,
      usage: undefined,
      health: HealthState.UNKNOWN,
      failures: 0,
      nextCheckAtMs: 0,
      checking: undefined,
    };
    entry.status = status;
    entries.set(status.name, entry);
    if (isSame) return;
    if (status.phase !== "running") {
      entry.health = HealthState.UNKNOWN;
      entry.usage = undefined;
      entry.checking?.abort();
    }
    entry.failures = 0;
    entry.nextCheckAtMs = 0;
    log.info({ workload: status.name, phase: status.phase, epoch: status.epoch, exitCode: status.exitCode }, "workload.phase");
    options.onChange(reportOf(entry));
  }

  async function refresh(): Promise<void> {
    const found = (await runtime.list()).filter(isUsers);
    for (const name of [...entries.keys()]) {
      if (found.some((status) => status.name === name)) continue;
      entries.get(name)?.checking?.abort();
      entries.delete(name);
    }
    for (const status of found) see(status);
  }

  async function sample(): Promise<void> {
    for (const entry of entries.values()) {
      if (entry.status.phase !== "running") continue;
      const usage = await runtime.usage(entry.status.name).catch((caught: unknown) => {
        log.debug({ err: caught, workload: entry.status.name }, "the usage cannot be measured");
        return undefined;
      });
      if (usage !== undefined) entry.usage = { ...usage, measuredAtMs: clock.nowMs() };
    }
  }

  function settle(entry: Entry, answer: HealthAnswer): void {
    const before = entry.health;
    entry.failures = answer.isPassing ? 0 : entry.failures + 1;
    if (answer.isPassing) entry.health = HealthState.PASSING;
    else if (entry.failures >= pace.failuresToFail) entry.health = HealthState.FAILING;
    if (entry.health === before) return;
    log.info({ workload: entry.status.name, health: HealthState[entry.health], detail: answer.detail }, "workload.health");
    options.onChange(reportOf(entry));
  }

  const lookOnce = (entry: Entry, check: HealthCheck, signal: AbortSignal): Promise<HealthAnswer> =>
    checkHealth(check, { name: entry.status.name, address: entry.status.spec.address }, runtime, pace.checkDeadlineMs, signal);

  async function checkOne(entry: Entry, check: HealthCheck): Promise<void> {
    const controller = new AbortController();
    entry.checking = controller;
    try {
      const answer = await lookOnce(entry, check, AbortSignal.any([controller.signal, stopping.signal]));
      if (!controller.signal.aborted && !stopping.signal.aborted) settle(entry, answer);
    } finally {
      entry.checking = undefined;
      const usualMs = check.kind.case === "exec" ? pace.execCheckMs : pace.networkCheckMs;
      const isCalm = entry.health === HealthState.PASSING && entry.failures === 0;
      entry.nextCheckAtMs = clock.monotonicMs() + (isCalm ? usualMs : Math.min(usualMs, pace.recheckMs));
    }
  }

  function checkDue(): void {
    for (const entry of entries.values()) {
      const check = checks.get(entry.status.name);
      const isDue = entry.status.phase === "running" && !entry.checking && clock.monotonicMs() >= entry.nextCheckAtMs;
      if (check && isDue && !hushed.has(entry.status.name)) void checkOne(entry, check);
    }
  }

  const every = async (what: string, periodMs: number, work: () => Promise<void> | void) => {
    while (!stopping.signal.aborted) {
      try {
        await work();
      } catch (caught) {
        log.warn({ err: caught }, what);
      }
      await sleep(periodMs, stopping.signal).catch(() => undefined);
    }
  };

  await refresh();
  const unlisten = runtime.onExit((status) => {
    if (isUsers(status)) see(status);
  });
  const loops = [
    every("the workloads cannot be sampled", pace.sampleMs, async () => {
      await refresh();
      await sample();
    }),
    every("the health checks cannot be made", Math.min(1_000, pace.networkCheckMs), checkDue),
  ];

  return {
    reports: () => [...entries.values()].map(reportOf),
    refresh,
    async setHealthCheck(name, check) {
      if (check?.kind.case === undefined) {
        checks.delete(name);
        await rm(join(dir, `${name}.json`), { force: true });
      } else {
        await writeFileAtomic(join(dir, `${name}.json`), toJsonString(HealthCheckSchema, check));
        checks.set(name, check);
      }
      const entry = entries.get(name);
      if (entry) Object.assign(entry, { health: HealthState.UNKNOWN, failures: 0, nextCheckAtMs: 0 });
    },
    async forget(name) {
      entries.get(name)?.checking?.abort();
      entries.delete(name);
      checks.delete(name);
      await rm(join(dir, `${name}.json`), { force: true });
    },
    hush(name) {
      hushed.set(name, (hushed.get(name) ?? 0) + 1);
      entries.get(name)?.checking?.abort();
      let isOver = false;
      return () => {
        if (isOver) return;
        isOver = true;
        const left = (hushed.get(name) ?? 1) - 1;
        if (left > 0) hushed.set(name, left);
        else hushed.delete(name);
      };
    },
    async untilHealthy(name, withinMs, signal) {
      await refresh();
      const check = checks.get(name);
      const entry = entries.get(name);
      if (check === undefined) return { health: HealthState.UNKNOWN, detail: "the workload has no health check" };
      if (entry === undefined) throw fault("WORKLOAD_NOT_FOUND", `there is no workload "${name}" on this node`);
      const endAtMs = clock.monotonicMs() + withinMs;
      let answer: HealthAnswer = { isPassing: false, detail: "not checked" };
      do {
        answer = await lookOnce(entry, check, signal);
        if (!answer.isPassing) await sleep(50, signal);
      } while (!answer.isPassing && clock.monotonicMs() < endAtMs);
      entry.failures = answer.isPassing ? 0 : pace.failuresToFail - 1;
      settle(entry, answer);
      return { health: answer.isPassing ? HealthState.PASSING : HealthState.FAILING, detail: answer.detail };
    },
    async stop() {
      stopping.abort(fault("CANCELLED", "the agent stops"));
      unlisten();
      await Promise.all(loops);
    },
  };
}

/** The canary's container is the engine's own: the control plane would take it for a stray and have it removed in the middle of its trial. */
const isUsers = ({ name }: WorkloadStatus): boolean => name !== "aether-canary";

async function readChecks(dir: string, log: Logger): Promise<[string, HealthCheck][]> {
  const names = await readdir(dir).catch((caught: unknown) => {
    if (caught instanceof Error && "code" in caught && caught.code === "ENOENT") return [];
    throw caught;
  });
  const checks: [string, HealthCheck][] = [];
  for (const file of names.filter((name) => name.endsWith(".json"))) {
    try {
      checks.push([file.slice(0, -".json".length), fromJsonString(HealthCheckSchema, (await readTextIfThere(join(dir, file))) ?? "{}")]);
    } catch (caught) {
      log.error({ err: Fault.from(caught), file }, "a health check on disk is damaged; the workload runs unchecked until it is set again");
    }
  }
  return checks;
}
