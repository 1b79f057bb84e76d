// From whether there is a metadata service to signals in the spool: the watcher's life in an agent.
import { Fault, fault } from "@aether/contract";
import { SignalReportSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import { type Logger, type Stoppable, sleep } from "@aether/kit";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AgentConfig } from "../config.ts";
import type { Spool } from "../link/spool.ts";
import { newTraceparent } from "../link/trace.ts";
import { type ImdsClient, type InstanceFacts, readInstanceFacts } from "./client.ts";
import type { Announced } from "./watch.ts";
import { type SequencedSignal, startWatcher, type Watcher } from "./watcher.ts";

/** Undefined where no metadata service answers within two tries: then this is not a cloud instance, or not yet. */
export async function findInstance(imds: ImdsClient, log: Logger, signal: AbortSignal): Promise<InstanceFacts | undefined> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await readInstanceFacts(imds, signal);
    } catch (caught) {
      signal.throwIfAborted();
      if (attempt === 0) continue;
      log.info({ reason: Fault.from(caught).message }, "there is no instance metadata service; interruptions are not announced here");
      return undefined;
    }
  }
}

export interface WatchSetup {
  readonly config: AgentConfig;
  readonly imds: ImdsClient;
  readonly isThere: boolean;
  readonly spool: Spool;
  readonly log: Logger;
  intervalMs(): number;
  onSignal(): void;
  /** After a failure to begin. Default 2 s. */
  readonly againMs?: number;
}

/** Watches now, or from when a service answers: an instance can boot faster than its metadata. */
export function watchWhenThere(
  { config, imds, isThere, spool, log, intervalMs, onSignal, againMs = 2_000 }: WatchSetup,
  outer: AbortSignal,
): Stoppable & { announced(): Announced } {
  const stopping = new AbortController();
  const signal = AbortSignal.any([outer, stopping.signal]);
  let watcher: Watcher | undefined;
  const begin = () =>
    startWatcher({
      client: imds,
      intervalMs: () => config.imds.intervalMs ?? intervalMs(),
      stateDir: config.stateDir,
      log,
      lastSequence: () => spool.lastSequence("signal"),
      async emit(heard) {
        await spool.append("signal", heard.sequence, encodeSignal(heard));
        onSignal();
      },
    });
  /** A disk that fails for a moment must not make this node deaf for good. */
  const watchAtLast = async (): Promise<Watcher> => {
    for (;;) {
      try {
        return await begin();
      } catch (caught) {
        signal.throwIfAborted();
        log.error({ err: caught }, "interruptions cannot be watched yet; it is tried again");
        await sleep(againMs, signal);
      }
    }
  };
  const work = (async () => {
    while (!isThere && config.imds.enabled === "auto" && (await findQuietly(imds, signal)) === undefined) await sleep(60_000, signal);
    signal.throwIfAborted();
    watcher = await watchAtLast();
  })().catch((caught: unknown) => {
    if (!signal.aborted) log.error({ err: caught }, "interruptions cannot be watched");
  });
  return {
    announced: () => watcher?.announced() ?? {},
    async stop() {
      stopping.abort(fault("CANCELLED", "the agent stops"));
      await work;
      await watcher?.stop();
    },
  };
}

const findQuietly = (imds: ImdsClient, signal: AbortSignal) => readInstanceFacts(imds, signal).catch(() => undefined);

function encodeSignal({ kind, action, effectiveAtMs, sequence, observedAtMs }: SequencedSignal): Uint8Array {
  const report = create(SignalReportSchema, {
    sequence: BigInt(sequence),
    kind: SignalKind[kind],
    observedAt: timestampFromMs(observedAtMs),
    effectiveAt: timestampFromMs(effectiveAtMs),
    action,
    source: "imds",
    traceparent: newTraceparent(),
  });
  return toBinary(SignalReportSchema, report);
}
