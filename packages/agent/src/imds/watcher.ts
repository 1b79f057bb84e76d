// Asks the metadata service once a second and hands on what changed. A signal is given to `emit` exactly once, also over a kill -9:
// its sequence is fixed on disk before `emit` is called, and `emit` ignores a sequence that it knows.
import { join } from "node:path";
import { Fault } from "@aether/contract";
import { backoffMs, type Clock, type Logger, readTextIfThere, type Stoppable, sleep, systemClock, writeFileAtomic } from "@aether/kit";
import { z } from "zod";
import { parseInstanceAction, parseRebalance } from "./answers.ts";
import type { ImdsClient } from "./client.ts";
import { type Announced, type HeardSignal, type Reading, watch } from "./watch.ts";

/** A signal as it goes to the spool. */
export interface SequencedSignal extends HeardSignal {
  readonly sequence: number;
  readonly observedAtMs: number;
}

export interface WatcherOptions {
  readonly client: ImdsClient;
  /** Milliseconds between two polls. */
  intervalMs(): number;
  readonly stateDir: string;
  readonly log: Logger;
  readonly clock?: Clock;
  /** The highest sequence that the receiver has. */
  lastSequence(): number;
  /** Takes a signal durably. Called again with the same sequence after a crash. */
  emit(signal: SequencedSignal): Promise<void>;
}

export interface Watcher extends Stoppable {
  /** What is in force now. */
  announced(): Announced;
}

const heard = z.object({ kind: z.enum(["NOTICE", "REBALANCE", "WITHDRAWN"]), action: z.string(), effectiveAtMs: z.number() });
const stateSchema = z.object({
  announced: z.object({
    notice: z.object({ action: z.string(), effectiveAtMs: z.number() }).optional(),
    rebalance: z.object({ noticedAtMs: z.number() }).optional(),
  }),
  pending: z.array(heard.extend({ sequence: z.number().int(), observedAtMs: z.number() })),
});

/** Reads what was in force before a restart, hands on what a crash kept back, then polls until stopped. */
export async function startWatcher(options: WatcherOptions): Promise<Watcher> {
  const { client, log } = options;
  const clock = options.clock ?? systemClock;
  const path = join(options.stateDir, "imds.json");
  const stopping = new AbortController();
  const kept = await readState(path, log);
  let announced: Announced = kept.announced;
  for (const signal of kept.pending) await options.emit(signal);

  const pollOnce = async (): Promise<Fault | undefined> => {
    const [notice, rebalance] = await Promise.all([
      ask(client, "meta-data/spot/instance-action", parseInstanceAction, stopping.signal),
      ask(client, "meta-data/events/recommendations/rebalance", parseRebalance, stopping.signal),
    ]);
    const step = watch(announced, notice.reading, rebalance.reading);
    if (step.signals.length > 0) {
      const observedAtMs = clock.nowMs();
      const first = options.lastSequence() + 1;
      const pending = step.signals.map((signal, index) => ({ ...signal, observedAtMs, sequence: first + index }));
      await writeFileAtomic(path, JSON.stringify({ announced: step.announced, pending })).catch((cause: unknown) =>
        log.error({ err: cause }, "the watcher's state cannot be written; a restart may repeat a signal"),
      );
      for (const signal of pending) {
        log.warn({ kind: signal.kind, action: signal.action, effectiveAt: new Date(signal.effectiveAtMs).toISOString() }, "signal.heard");
        await options.emit(signal);
      }
    }
    announced = step.announced;
    return notice.trouble ?? rebalance.trouble;
  };

  const loop = async () => {
    let failures = 0;
    while (!stopping.signal.aborted) {
      const startedMs = clock.monotonicMs();
      const trouble = await pollOnce().catch((caught: unknown) => Fault.from(caught));
      if (stopping.signal.aborted) return;
      if (trouble === undefined && failures > 0) log.info({ failures }, "the metadata service answers again");
      if (trouble !== undefined && failures === 0) log.warn({ err: trouble }, "the metadata service has trouble");
      failures = trouble === undefined ? 0 : failures + 1;
      const intervalMs = options.intervalMs();
      const pauseMs =
        failures === 0
          ? intervalMs * (0.95 + 0.1 * Math.random())
          : backoffMs({ firstMs: intervalMs, maxMs: 8 * intervalMs }, failures - 1);
      await sleep(Math.max(20, pauseMs - (clock.monotonicMs() - startedMs)), stopping.signal).catch(() => undefined);
    }
  };
  const running = loop();
  return {
    announced: () => announced,
    async stop() {
      stopping.abort(new Fault("CANCELLED", "the watcher is stopped"));
      await running;
    },
  };
}

async function ask<T>(
  client: ImdsClient,
  path: string,
  parse: (text: string) => T,
  signal: AbortSignal,
): Promise<{ reading: Reading<T>; trouble?: Fault }> {
  try {
    const text = await client.get(path, signal);
    return { reading: text === undefined ? { kind: "nothing" } : { kind: "announced", value: parse(text) } };
  } catch (caught) {
    return { reading: { kind: "trouble" }, trouble: Fault.from(caught) };
  }
}

async function readState(path: string, log: Logger): Promise<z.infer<typeof stateSchema>> {
  const text = await readTextIfThere(path);
  if (text === undefined) return { announced: {}, pending: [] };
  try {
    return stateSchema.parse(JSON.parse(text));
  } catch (cause) {
    log.error({ err: cause, path }, "the watcher's state is damaged; what is in force now will be announced again");
    return { announced: {}, pending: [] };
  }
}
